"""What the answers of queues mean for the next question."""

from collections.abc import Collection

from warren.worker.known import Known


def candidates(
    known: Known, now: float = 0.0, left_out: Collection[str] = (), brought: Collection[str] = ()
) -> tuple[str, str]:
    ready, asked = known.candidates(now, left_out=left_out.__contains__, brought=brought.__contains__)
    return "".join(ready), "".join(asked)


def test_at_first_every_queue_may_have_jobs() -> None:
    assert candidates(Known("abc", 0.02)) == ("abc", "")


def test_of_a_queue_in_doubt_one_question_at_a_time_is_enough() -> None:
    known = Known("ab", 0.02)
    known.asking("a")
    assert candidates(known) == ("b", "a")


def test_of_a_queue_that_has_jobs_several_may_be_asked_for_at_once() -> None:
    known = Known("ab", 0.02)
    known.asking("a")
    known.answered("a", 0.0, has_jobs=True)
    known.asking("a")
    known.asking("a")
    assert candidates(known) == ("ab", "")
    assert known.asked == 2


def test_a_queue_without_jobs_rests() -> None:
    known = Known("ab", 0.02)
    known.asking("a")
    known.answered("a", 1.0, has_jobs=False)
    assert candidates(known, 1.01) == ("b", "")
    assert candidates(known, 1.02) == ("ab", "")
    known.took()
    assert candidates(known, 1.01) == ("b", "")


def test_where_no_rest_is_allowed_it_is_asked_again_after_the_next_job() -> None:
    known = Known("ab", 0.0)
    known.asking("a")
    known.answered("a", 1.0, has_jobs=False)
    assert candidates(known, 1e9) == ("b", "")
    known.asking("b")
    known.answered("b", 1.0, has_jobs=True)
    assert candidates(known, 1.0) == ("ab", "")


def test_news_end_a_rest() -> None:
    known = Known("ab", 0.02)
    known.asking("a")
    known.answered("a", 1.0, has_jobs=False)
    known.may_have_jobs("a")
    assert candidates(known, 1.0) == ("ab", "")


def test_what_was_brought_is_there_whatever_was_answered() -> None:
    known = Known("ab", 0.02)
    known.asking("a")
    known.answered("a", 1.0, has_jobs=False)
    assert candidates(known, 1.0, left_out="a", brought="a") == ("ab", "")


def test_a_queue_that_is_left_out_is_not_even_waited_for() -> None:
    known = Known("ab", 0.02)
    known.asking("a")
    assert candidates(known, left_out="a") == ("b", "")
