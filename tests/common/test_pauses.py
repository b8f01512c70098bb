"""Which queues are paused, whatever the order in which that was heard, and however often."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from warren.control import PauseQueue, ResumeQueue
from warren.pauses import Pauses, Said

deterministic = settings(deadline=None, derandomize=True, database=None)
queues = st.sampled_from(["a", "b"])
moments = st.integers(0, 5).map(float)
said = st.lists(st.one_of(st.builds(PauseQueue, queues, moments), st.builds(ResumeQueue, queues, moments)), max_size=10)


def heard(what: list[Said]) -> Pauses:
    pauses = Pauses()
    for one in what:
        pauses.hear(one)
    return pauses


@deterministic
@given(said, st.randoms())
def test_neither_order_nor_repetition_matters(what: list[Said], shuffled: Any) -> None:
    again = [*what, *what]
    shuffled.shuffle(again)
    assert set(heard(what)) == set(heard(again))


@deterministic
@given(said, queues, moments)
def test_what_is_said_after_all_that_was_heard_holds_whatever_the_clock_says(
    what: list[Said], queue: str, now: float
) -> None:
    pauses = heard(what)
    pauses.hear(PauseQueue(queue, pauses.after(queue, now)))
    assert queue in pauses
    pauses.hear(ResumeQueue(queue, pauses.after(queue, now)))
    assert queue not in pauses


@deterministic
@given(said, st.one_of(st.builds(PauseQueue, queues, moments), st.builds(ResumeQueue, queues, moments)))
def test_it_tells_whether_something_has_changed(what: list[Said], one: Said) -> None:
    pauses = heard(what)
    before = set(pauses)
    changed = pauses.hear(one)
    assert changed == ({pause.queue for pause in before} != {pause.queue for pause in pauses})


def test_what_is_no_name_is_not_paused() -> None:
    assert 7 not in heard([PauseQueue("7", 1.0)])
