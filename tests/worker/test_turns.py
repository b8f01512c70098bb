"""Turns: a process runs what it has a turn for, in order, and nothing that was taken back."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from warren.worker.frames import Ping, Run, Stop, encode
from warren.worker.turns import Inbox, Turns


class Pair:
    """Both ends in one process."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.wire = ours
        self.turns = Turns.shared_over(ours)
        self.inbox = Inbox.received_from(theirs)

    def give(self, *names: str) -> list[int]:
        """Send jobs of these names and grant their turns; returns their numbers."""
        numbered = [self.turns.numbered(encode(job(name))) for name in names]
        self.wire.sendall(b"".join(frame for _, frame in numbered))
        numbers = [number for number, _ in numbered]
        self.turns.grant(numbers)
        return numbers

    def taken(self) -> str:
        """The name of the job that the process takes next."""
        message = self.inbox.take()
        assert isinstance(message, Run)
        return message.job_id


@contextmanager
def pair() -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        ours, theirs = map(stack.enter_context, socket.socketpair())
        both = Pair(ours, theirs)
        stack.callback(both.turns.close)
        stack.callback(both.inbox.close)
        yield both


def job(name: str) -> Run:
    return Run(name, "m:f", "default", 1, 0, "", 0.0, b"{}")


def test_jobs_are_taken_in_order() -> None:
    with pair() as both:
        both.give("a", "b")
        both.give("c")
        assert [both.taken() for _ in range(3)] == ["a", "b", "c"]


def test_what_is_taken_back_is_passed_over() -> None:
    with pair() as both:
        numbers = both.give("a", "b", "c")
        assert both.taken() == "a"
        assert both.turns.take_back() == set(numbers[1:])
        assert both.turns.take_back() == set()
        both.give("d")
        assert both.taken() == "d"


def test_what_was_taken_cannot_be_taken_back() -> None:
    with pair() as both:
        both.give("a")
        assert both.taken() == "a"
        assert both.turns.take_back() == set()


def test_frames_that_lie_unread_are_never_mistaken_for_later_ones() -> None:
    with pair() as both:
        both.wire.sendall(b"".join(both.turns.numbered(encode(job("lost")))[1] for _ in range(600)))
        both.give("kept")
        assert both.taken() == "kept"


def test_a_job_of_many_bytes_may_come_after_its_turn() -> None:
    with pair() as both:
        number, frame = both.turns.numbered(encode(job("x" * 50_000)))
        both.wire.sendall(frame[:1000])
        both.turns.grant([number])
        both.wire.sendall(frame[1000:])
        assert both.taken() == "x" * 50_000


def test_the_end_of_the_parent_is_the_end() -> None:
    with pair() as both:
        both.turns.close()
        assert both.inbox.take() is None


def test_a_parent_that_dies_between_a_turn_and_its_frame_is_the_end() -> None:
    with pair() as both:
        number, _ = both.turns.numbered(b"")
        both.turns.grant([number])
        both.wire.shutdown(socket.SHUT_WR)
        assert both.inbox.take() is None


def test_being_told_to_stop_comes_in_its_turn() -> None:
    with pair() as both:
        number, frame = both.turns.numbered(encode(Stop()))
        both.wire.sendall(frame)
        both.turns.grant([number])
        assert both.inbox.take() == Stop()


def test_whether_a_process_took_its_turn_can_be_seen_without_taking_it_back() -> None:
    with pair() as both:
        first, second = both.give("a", "b")
        assert both.turns.first_untaken() == first
        assert both.taken() == "a"
        assert both.turns.first_untaken() == second
        assert both.taken() == "b"
        assert both.turns.first_untaken() is None


def test_a_turn_for_nothing_is_taken_in_passing() -> None:
    with pair() as both:
        number, frame = both.turns.numbered(encode(Ping()))
        both.wire.sendall(frame)
        both.turns.grant([number])
        both.give("a")
        assert both.taken() == "a"
