"""What a process has written down can be read when the process is gone, and never more than it had done."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from warren.outcome import Done
from warren.worker.frames import Ended, Part
from warren.worker.journal import Journal


@pytest.fixture
def both() -> Iterator[tuple[Journal, Journal]]:
    """The parent's and the process's view of one journal."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        parent, process = Journal.shared_over(ours), Journal.received_from(theirs)
        yield parent, process
        parent.close()
        process.close()


def test_a_new_journal_holds_nothing(both: tuple[Journal, Journal]) -> None:
    assert both[0].untold() == Ended(Done(b""), 0.0, Part(0, 0, 0), last=False)


def test_what_one_writes_the_other_reads(both: tuple[Journal, Journal]) -> None:
    parent, process = both
    process.begin(7, 3)
    assert process.add(b'"1":2,')
    assert process.add(b'"2":3,')
    told = Ended(Done(b'"1":2,"2":3,'), 0.0, Part(7, 3, 2), last=False)
    assert parent.untold() == told
    assert process.untold(1.5, last=True) == Ended(told.outcome, 1.5, told.part, last=True)


def test_a_new_beginning_forgets_what_was_there(both: tuple[Journal, Journal]) -> None:
    parent, process = both
    process.begin(7)
    process.add(b'"1":2,')
    process.begin(7, 1)
    assert parent.untold().part == Part(7, 1, 0)


def test_what_has_no_room_changes_nothing(both: tuple[Journal, Journal]) -> None:
    parent, process = both
    process.begin(1)
    assert process.add(b'"1":2,')
    assert not process.add(b"x" * 65_536)
    assert (parent.untold().outcome, process.count) == (Done(b'"1":2,'), 1)


def test_it_outlives_its_process() -> None:
    ours, theirs = socket.socketpair()
    parent = Journal.shared_over(ours)
    pid = os.fork()
    if pid == 0:
        process = Journal.received_from(theirs)
        process.begin(5)
        process.add(b'"0":"done",')
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert parent.untold().outcome == Done(b'"0":"done",')
    parent.close()
    ours.close()
    theirs.close()
