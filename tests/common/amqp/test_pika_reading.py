"""One socket, read on the loop and in threads that wait: by one at a time, in order, whatever interrupts them."""

import asyncio
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from tests.support import eventually

from warren.amqp import pika_reading
from warren.amqp.pika_frames import END, HEAD
from warren.amqp.pika_reading import SharedReading
from warren.amqp.pika_taps import Taps
from warren.producer.io_thread import IoThread, Waiter

pytestmark = pytest.mark.skipif(not pika_reading.POSSIBLE, reason="needs epoll")
ANSWERS, OTHERS = 1, 2


def frame(channel: int, text: str) -> bytes:
    return HEAD.pack(1, channel, len(text)) + text.encode() + bytes((END,))


class Line(asyncio.Protocol):
    """A connection to this process itself: what comes is noted with the thread that took it."""

    def __init__(self) -> None:
        self.conn: Any = self
        self.bytes_received = 0
        self.taken: list[tuple[str, str]] = []
        self.ended: list[object] = []
        self.waiters: dict[str, Waiter] = {}
        self.torn_at = 0.0
        self.taps = Taps(self)
        self.taps.of_answers[ANSWERS] = self.taps.on_loop[ANSWERS] = self.taps.on_loop[OTHERS] = self._take
        self._io = IoThread("reading")
        self._loop = self._io.loop
        self.reading = self._io.call(self._open())

    async def _open(self) -> SharedReading:
        ours, self.far = socket.socketpair()
        self.transport, _ = await self._loop.create_connection(lambda: self, sock=ours)
        return SharedReading(self._loop, self.transport, self.taps, self)

    def share(self) -> None:
        """Have the first thread ask, and wait until threads may read."""
        self.reading.read_for(Waiter(), 0)
        eventually(lambda: self.reading._watch is not None, 10, "threads may read")

    def wait(self, text: str, seconds: float = 10) -> Waiter:
        """Wait in this thread for the answer with that text."""
        waiter = self.waiters.setdefault(text, Waiter())
        until = time.monotonic() + seconds
        self.reading.read_for(waiter, until)
        waiter.wait(until - time.monotonic())
        return waiter

    def texts(self) -> list[str]:
        return [text for text, _ in self.taken]

    def close(self) -> None:
        self._io.call(self._close())
        self._io.stop()
        self.far.close()

    async def _close(self) -> None:
        self.reading.close()
        self.transport.abort()
        await asyncio.sleep(0)

    def _take(self, kind: int, data: bytes, at: int, end: int) -> bool:
        text = data[at:end].decode()
        self.taken.append((text, threading.current_thread().name))
        if (waiter := self.waiters.get(text)) is not None:
            waiter.set_result(None)
        return True

    def data_received(self, data: bytes) -> None:
        self.taps.take(data)

    def broken(self, error: OSError | None) -> None:
        self.ended.append(error)

    def torn(self) -> None:
        self.torn_at = time.monotonic()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    made.share()
    yield made
    made.close()


def later(seconds: float, call: Any, *args: object) -> threading.Timer:
    timer = threading.Timer(seconds, call, args)
    timer.start()
    return timer


@pytest.fixture
def alarm() -> Iterator[Any]:
    """Have a signal handler called at a moment of this thread's own choosing, or in a while."""

    def install(handler: Any, seconds: float = 0) -> None:
        signal.signal(signal.SIGALRM, handler)
        if seconds:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    before = signal.getsignal(signal.SIGALRM)
    yield install
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_before_a_thread_has_asked_the_transport_reads() -> None:
    line = Line()
    line.far.sendall(frame(ANSWERS, "a"))
    eventually(lambda: line.taken == [("a", "reading")], 10, "it is read")
    assert line.reading._watch is None
    line.close()


def test_a_thread_that_waits_reads_its_answer_itself(line: Line) -> None:
    later(0.05, line.far.sendall, frame(ANSWERS, "a"))
    assert line.wait("a").done()
    assert line.taken == [("a", "MainThread")]


def test_when_nobody_waits_the_loop_reads(line: Line) -> None:
    line.waiters["a"] = Waiter()
    line.far.sendall(frame(ANSWERS, "a"))
    assert line.wait("a").done()
    line.far.sendall(frame(ANSWERS, "b"))
    eventually(lambda: ("b", "reading") in line.taken, 10, "the loop reads again")


def test_what_is_no_answer_goes_to_the_loop_with_all_that_follows(line: Line) -> None:
    line.waiters["d"] = Waiter()
    later(0.05, line.far.sendall, b"".join([frame(ANSWERS, "a"), frame(OTHERS, "b"), frame(ANSWERS, "c")]))
    later(0.2, line.far.sendall, frame(ANSWERS, "d"))
    assert line.wait("d").done()
    assert line.texts() == ["a", "b", "c", "d"]
    assert dict(line.taken)["b"] == dict(line.taken)["c"] == "reading"


def test_of_several_threads_one_reads_for_all(line: Line) -> None:
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(line.wait, str(number)) for number in range(8)]
        eventually(lambda: len(line.waiters) == 8 and line.reading._lock.locked(), 10, "they wait")
        for number in reversed(range(8)):
            line.far.sendall(frame(ANSWERS, str(number)))
        assert all(one.result(10).done() for one in waiting)
    assert line.texts() == [str(number) for number in reversed(range(8))]


def test_a_thread_waits_no_longer_than_it_may(line: Line) -> None:
    started = time.monotonic()
    line.reading.read_for(Waiter(), started + 0.1)
    assert 0.1 <= time.monotonic() - started < 5
    assert not line.reading._lock.locked()


@pytest.mark.parametrize("reset", [False, True])
def test_the_end_of_the_connection_is_told_on_the_loop_while_a_thread_waits(line: Line, reset: bool) -> None:
    if reset:  # what the far side has not read when it closes makes it one
        line.transport.write(b"unread")
        assert line.far.recv(1)
    later(0.05, line.far.close)
    started = time.monotonic()
    line.reading.read_for(Waiter(), started + 10)
    assert time.monotonic() - started < 5
    eventually(lambda: line.ended, 10, "the end is told")
    assert isinstance(line.ended[0], ConnectionResetError) if reset else line.ended == [None]


def test_closing_ends_the_waiting_of_a_thread_and_closes_what_is_ours(line: Line) -> None:
    watch = line.reading._watch
    assert watch is not None
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(line.reading.read_for, Waiter(), time.monotonic() + 30)
        eventually(line.reading._lock.locked, 10, "it reads")
        line._io.call(line._close())
        waiting.result(5)
    assert line.reading._watch is None
    assert watch.epoll.closed
    assert watch.socket.fileno() == -1
    line.reading.read_for(Waiter(), time.monotonic() + 30)


def test_an_interrupt_while_polling_loses_nothing(line: Line, alarm: Any) -> None:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    alarm(interrupt, 0.1)
    with pytest.raises(KeyboardInterrupt):
        line.reading.read_for(Waiter(), time.monotonic() + 10)
    line.far.sendall(frame(ANSWERS, "a"))
    eventually(lambda: line.taken == [("a", "reading")], 10, "the loop reads again")
    assert not line.torn_at


def test_an_interrupt_between_receiving_and_taking_tears_the_connection(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: bytes) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(line.taps, "take_answers", interrupted)
    later(0.05, line.far.sendall, frame(ANSWERS, "a"))
    with pytest.raises(KeyboardInterrupt):
        line.reading.read_for(Waiter(), time.monotonic() + 10)
    eventually(lambda: line.torn_at, 10, "it is torn")


def test_a_signal_handler_reads_in_the_place_of_what_it_interrupted(line: Line, alarm: Any) -> None:
    inner: list[Waiter] = []

    def handler(_: int, __: FrameType | None) -> None:
        line.far.sendall(frame(ANSWERS, "outer") + frame(ANSWERS, "inner"))
        inner.append(line.wait("inner"))

    alarm(handler, 0.1)
    started = time.monotonic()
    assert line.wait("outer").done()
    assert inner[0].done()
    assert time.monotonic() - started < 5
    assert not line.torn_at


def test_a_signal_handler_hears_its_confirm_behind_a_result(line: Line, alarm: Any) -> None:
    inner: list[Waiter] = []

    def handler(_: int, __: FrameType | None) -> None:
        inner.append(line.waiters.setdefault("inner", Waiter()))
        line.far.sendall(frame(OTHERS, "result") + frame(ANSWERS, "inner") + frame(ANSWERS, "outer"))
        line.wait("inner", 3)

    alarm(handler, 0.1)
    assert line.wait("outer").done()
    assert inner[0].done()
    assert line.texts() == ["result", "inner", "outer"]
    assert not line.torn_at


def test_a_signal_handler_that_waits_for_others_has_them_read(line: Line, alarm: Any) -> None:
    def handler(_: int, __: FrameType | None) -> None:
        line.reading.leave()
        line.far.sendall(frame(ANSWERS, "a"))
        eventually(lambda: line.taken == [("a", "reading")], 10, "the loop reads")

    line.waiters["a"] = Waiter()
    alarm(handler, 0.1)
    assert line.wait("a").done()


def test_a_signal_handler_that_forks_reads_nothing_in_the_child(line: Line, alarm: Any) -> None:
    def handler(_: int, __: FrameType | None) -> None:
        children.append(os.fork())
        if children[0]:
            assert os.waitpid(children[0], 0)[1] == 0
            line.far.sendall(frame(ANSWERS, "a"))

    children: list[int] = []
    alarm(handler, 0.1)
    waiter = line.waiters.setdefault("a", Waiter())
    try:
        line.reading.read_for(waiter, time.monotonic() + 10)
    finally:
        if children == [0]:
            os._exit(int(bool(line.taken) or not line.reading._lock.locked()))
    assert line.taken == [("a", "MainThread")]


def test_a_thread_that_waits_long_for_one_that_reads_no_more_ends_the_connection(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pika_reading, "_HELD_SECONDS", 0.1)
    watch = line.reading._watch
    assert watch is not None
    watch.turn = pika_reading._Turn(time.monotonic())
    watch.turn.thread = 0
    with line.reading._lock:

        def looked() -> float:
            line.reading.read_for(Waiter(), time.monotonic() + 10)
            return line.torn_at

        eventually(looked, 10, "it is torn")
    watch.turn = None


def test_a_long_turn_that_ends_in_a_burst_is_no_torn_one(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop sees bytes just before a thread has made it blind, and again just before the turn is over."""
    watch, refused = line.reading._watch, line.reading._refused
    assert watch is not None
    epoll, looked = watch.epoll, threading.Event()

    class Slow:
        def modify(self, file: int, events: int) -> None:
            looked.clear()
            line.far.sendall(frame(ANSWERS, "burst"))
            if events:
                epoll.modify(file, events)
            assert looked.wait(10)
            if not events:
                epoll.modify(file, events)
                line.far.sendall(frame(ANSWERS, "more"))

    def noted() -> None:
        refused()
        looked.set()

    monkeypatch.setattr(pika_reading, "_HELD_SECONDS", 0.2)
    monkeypatch.setattr(line.reading, "_refused", noted)
    monkeypatch.setattr(watch, "epoll", Slow())
    line.reading.read_for(Waiter(), time.monotonic() + 0.5)
    monkeypatch.setattr(watch, "epoll", epoll)
    line.far.sendall(frame(ANSWERS, "last"))
    eventually(lambda: "last" in line.texts(), 10, "all is read")
    assert not line.torn_at


def test_after_a_hole_nothing_more_is_taken(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: bytes) -> bytes:
        raise KeyboardInterrupt

    # The loop does not hear of it yet.
    monkeypatch.setattr(line.reading, "_tell_loop", lambda _: None)
    later(0.05, line.far.sendall, frame(ANSWERS, "lost"))
    with monkeypatch.context() as patch:
        patch.setattr(line.taps, "take_answers", interrupted)
        with pytest.raises(KeyboardInterrupt):
            line.reading.read_for(Waiter(), time.monotonic() + 10)
    line.far.sendall(frame(ANSWERS, "a"))
    line.reading.read_for(Waiter(), time.monotonic() + 1)
    line._io.call(line._close())
    assert line.taken == []


def test_when_no_more_files_can_be_opened_the_transport_goes_on_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(_: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    line = Line()
    monkeypatch.setattr(os, "dup", too_many)
    line.reading.read_for(Waiter(), 0)
    line.far.sendall(frame(ANSWERS, "a"))
    eventually(lambda: line.taken == [("a", "reading")], 10, "it is read")
    assert line.reading._watch is None
    line.close()


def test_a_signal_handler_that_finds_bytes_in_the_hand_of_its_thread_ends_the_connection(
    line: Line, alarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = line.taps.take_answers

    def interrupted(data: bytes) -> bytes:
        signal.raise_signal(signal.SIGALRM)
        return taken(data)

    alarm(lambda *_: line.reading.read_for(Waiter(), time.monotonic() + 10))
    monkeypatch.setattr(line.taps, "take_answers", interrupted)
    later(0.05, line.far.sendall, frame(ANSWERS, "a"))
    assert line.wait("a").done()
    eventually(lambda: line.torn_at, 10, "it is torn")


def test_a_turn_that_never_ends_is_noticed(line: Line) -> None:
    line.reading._lock.acquire()  # by a thread that a signal handler has led away
    line.far.sendall(frame(ANSWERS, "a"))
    eventually(lambda: line.torn_at, 10, "it is torn")
    line.reading._lock.release()


def test_what_fails_on_the_loop_ends_the_connection(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def fails(_: bytes) -> None:
        raise ValueError

    line._io.loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    monkeypatch.setattr(line.taps, "take", fails)
    line.far.sendall(frame(OTHERS, "a"))
    eventually(lambda: line.torn_at and told, 10, "it is torn, and told")
    assert isinstance(told[0], ValueError)
