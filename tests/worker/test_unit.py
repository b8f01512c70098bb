"""A unit's items run in turn; each is told of once, quick ones together, and the process stops when the unit's time is over."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from warren.context import Cancel
from warren.job import Body
from warren.limits import Limits
from warren.outcome import Cancelled, Done, Failed, Outcome, Rejected
from warren.retry import Retry
from warren.task import Task, task
from warren.worker import unit
from warren.worker.attempt import Attempt
from warren.worker.chunk import opened
from warren.worker.frames import Ended, Run, Unit
from warren.worker.journal import Journal


@pytest.fixture
def journal() -> Iterator[Journal]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = Journal.shared_over(ours)
        yield made
        made.close()


@pytest.fixture
def all_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit may take long: the test is not about that, and the machine may be busy."""
    monkeypatch.setattr(unit, "UNIT_SECONDS", 60.0)


def silent(done: int, total: int | None) -> None:
    """Report no progress."""


def tell(
    one: Task[..., Any], items: list[Any], journal: Journal, limits: Limits | None = None, **kwargs: object
) -> list[Ended]:
    """Run a unit whose places are ten times the items' numbers."""
    told: list[Ended] = []
    given = Unit(3, [10 * number for number in range(len(items))], msgspec.json.encode(items))
    run = Run("id", one.name, "q", 1, 0, "", 0.0, b"", given, limits)
    body = Body(one.name, [], {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in kwargs.items()})
    unit.run_unit(Attempt(one, run, silent), given, body, journal, told.append)
    assert [message.last for message in told] == [False] * (len(told) - 1) + [True]
    assert all(message.part is not None and message.part.unit == 3 for message in told)
    return told


def outcomes(told: list[Ended]) -> dict[int, Outcome]:
    """Return every item's outcome by its number; parts follow one another without a gap."""
    found: dict[int, Outcome] = {}
    for message in told:
        assert message.part is not None
        assert message.part.told == len(found)
        if isinstance(message.outcome, Done):
            found |= {place // 10: Done(bytes(value)) for place, value in opened(message.outcome.result).items()}
        else:
            found[message.part.told] = message.outcome
        assert len(found) == message.part.told + message.part.count
    return found


@task(retry=Retry(attempts=1))
def square(number: int, plus: int = 0) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    if number == 99:
        raise Cancel("enough")
    return number * number + plus


@task
def grow(number: int, into: list[int]) -> list[int]:
    into.append(number)
    return into


@task
def larger(size: int) -> str:
    return "x" * size


@task
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@pytest.mark.usefixtures("all_day")
def test_quick_items_are_told_of_together(journal: Journal) -> None:
    told = tell(square, list(range(20)), journal)
    assert outcomes(told) == {number: Done(b"%d" % number**2) for number in range(20)}
    assert len(told) < 20


@pytest.mark.usefixtures("all_day")
def test_items_that_came_to_something_else_have_their_own_outcomes(journal: Journal) -> None:
    found = outcomes(tell(square, [2, -1, 99, 3], journal))
    assert isinstance(found[1], Failed)
    assert (found[0], found[2], found[3]) == (Done(b"4"), Cancelled("enough"), Done(b"9"))


@pytest.mark.usefixtures("all_day")
def test_an_item_that_does_not_fit_is_rejected_alone(journal: Journal) -> None:
    found = outcomes(tell(square, [2, "two", 3], journal))
    assert isinstance(found[1], Rejected)
    assert (found[0], found[2]) == (Done(b"4"), Done(b"9"))


@pytest.mark.usefixtures("all_day")
def test_further_arguments_are_the_same_for_all(journal: Journal) -> None:
    assert outcomes(tell(square, [1, 2], journal, plus=1)) == {0: Done(b"2"), 1: Done(b"5")}


@pytest.mark.usefixtures("all_day")
def test_arguments_that_no_item_fits_reject_them_all(journal: Journal) -> None:
    found = outcomes(tell(square, [1, 2], journal, colour="red"))
    assert [type(one) for one in found.values()] == [Rejected, Rejected]


@pytest.mark.usefixtures("all_day")
def test_what_a_task_does_to_an_argument_no_other_item_sees(journal: Journal) -> None:
    assert outcomes(tell(grow, [1, 2], journal, into=[0])) == {0: Done(b"[0,1]"), 1: Done(b"[0,2]")}


@pytest.mark.usefixtures("all_day")
def test_results_that_the_journal_cannot_hold_are_told_alone(journal: Journal) -> None:
    sizes = [10, 40_000, 40_000, 200_000, 10]
    found = outcomes(tell(larger, sizes, journal))
    assert found == {number: Done(b'"%b"' % (b"x" * size)) for number, size in enumerate(sizes)}


def test_a_unit_whose_time_is_over_leaves_the_rest(journal: Journal) -> None:
    assert len(outcomes(tell(nap, [0.012] * 10, journal))) < 5


@pytest.mark.usefixtures("all_day")
def test_an_item_that_takes_time_is_told_of_before_the_next_begins(journal: Journal) -> None:
    told = tell(nap, [0.006, 0.006, 0.0], journal)
    assert [message.part and message.part.count for message in told] == [1, 1, 1]
    assert min(told[0].seconds, told[1].seconds) > 0.006


@pytest.mark.parametrize(
    ("one", "limits"), [(square.options(kill_after=5), None), (square, Limits(kill_after=5.0))], ids=["task", "call"]
)
@pytest.mark.usefixtures("all_day")
def test_with_a_time_to_its_kill_each_item_is_told_of_at_once(
    journal: Journal, one: Task[..., Any], limits: Limits | None
) -> None:
    assert len(tell(one, [1, 2, 3], journal, limits)) == 3


@task
def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.usefixtures("all_day")
def test_what_was_done_before_a_crash_is_in_the_journal(journal: Journal) -> None:
    pid = os.fork()
    if pid == 0:
        tell(die, [1, 2, 3, 4], journal)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    left = journal.untold()
    assert left.part is not None
    # A process that is kept waiting may have told of the first already.
    assert left.part.told + left.part.count == 2
    assert left.outcome == Done(b"".join([b'"0":1,', b'"10":2,'][left.part.told :]))
