import pytest
from benchmarks.figures import Book, Sample, percentile, short
from hypothesis import given
from hypothesis import strategies as st


def samples(*values: float, subject: str = "warren") -> list[Sample]:
    return [Sample("drain", subject, "jobs/s", value) for value in values]


def test_several_runs_come_to_their_median_and_their_extremes() -> None:
    (figure,) = Book(samples(30, 10, 20))
    assert (figure.median, figure.low, figure.high, figure.runs) == (20, 10, 30, 3)


def test_one_disturbed_run_does_not_move_the_median() -> None:
    assert Book(samples(100, 101, 3)).get("drain", "warren", "jobs/s") == 100


def test_a_figure_of_one_run_is_written_without_a_spread() -> None:
    (once,) = Book(samples(1234))
    (thrice,) = Book(samples(1234, 1000, 1500))
    assert str(once) == "1,234"
    assert str(thrice) == "1,234 (1,000–1,500)"  # noqa: RUF001


def test_what_was_not_measured_is_none() -> None:
    book = Book(samples(1))
    assert book.get("drain", "celery", "jobs/s") is None
    assert book.best("drain", ("celery", "taskiq"), "jobs/s") is None


def test_the_best_is_the_most_or_the_least_of_those_that_have_a_figure() -> None:
    book = Book([*samples(5, subject="celery"), *samples(7, subject="taskiq")])
    assert book.best("drain", ("celery", "taskiq", "dramatiq"), "jobs/s") == 7
    assert book.best("drain", ("celery", "taskiq", "dramatiq"), "jobs/s", least=True) == 5


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([3.0], 50) == 3.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_so_many_per_cent_do_not_exceed_a_percentile(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-6


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.1234, "0.123"), (1.5, "1.50"), (12.34, "12.3"), (999.4, "999"), (1_234_567.8, "1,234,568")],
)
def test_a_number_is_written_with_three_digits_that_count(value: float, text: str) -> None:
    assert short(value) == text
