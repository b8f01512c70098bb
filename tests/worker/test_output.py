"""What processes print is passed on unchanged, in whole lines, and the last of it is kept; nobody waits for a reader that is slow."""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from tests.support import eventually_async

from warren.worker.output import LAST_BYTES, Relay, Tail, last_line

RELAY_THREAD = "warren output"


class Scene:
    """A relay between two processes that print and whoever reads the worker's outputs."""

    def __init__(self) -> None:
        self.out_read, self.out = os.pipe()
        self.error_read, self.error = os.pipe()
        self.relay = Relay(self.out, self.error)
        self.tails: list[Tail] = []
        self.printers: list[tuple[int, int]] = []
        for _ in range(2):
            tail, out, error = self.relay.open()
            self.tails.append(tail)
            self.printers.append((out, error))
        self.open_ends = {fd for pair in self.printers for fd in pair}
        os.set_blocking(self.out_read, False)
        os.set_blocking(self.error_read, False)
        self.read = {self.out_read: bytearray(), self.error_read: bytearray()}

    async def printed(self, fd: int, expected: bytes) -> None:
        await eventually_async(lambda: self._has(fd, expected), message=f"{expected[:80]!r} is passed on")

    async def _has(self, fd: int, expected: bytes) -> bool:
        self.take(fd)
        return bytes(self.read[fd]) == expected

    def take(self, fd: int) -> None:
        """Read what is there."""
        with suppress(BlockingIOError):
            while data := os.read(fd, 65_536):
                self.read[fd] += data

    def end(self, number: int) -> None:
        """Have one of the processes end."""
        for fd in self.printers[number]:
            if fd in self.open_ends:
                self.open_ends.remove(fd)
                os.close(fd)


@asynccontextmanager
async def a_scene() -> AsyncIterator[Scene]:
    scene = Scene()
    try:
        yield scene
    finally:
        for number in range(2):
            scene.end(number)
        for fd in (scene.out_read, scene.error_read):  # first, so that what nobody takes does not keep the relay
            with suppress(OSError):
                os.close(fd)
        await scene.relay.close()
        assert not any(thread.name == RELAY_THREAD for thread in threading.enumerate()), (
            "it would write to who has the number next"
        )
        for fd in (scene.out, scene.error):
            with suppress(OSError):
                os.close(fd)


def scenario(test: Callable[[Scene], Awaitable[None]]) -> Callable[[], None]:
    async def whole() -> None:
        async with asyncio.timeout(120), a_scene() as scene:
            await test(scene)

    def run() -> None:
        asyncio.run(whole())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@scenario
async def test_what_is_printed_arrives_where_it_was_meant_for(scene: Scene) -> None:
    os.write(scene.printers[0][0], b"out\xff\x00\n")
    os.write(scene.printers[1][1], b"error\n")
    await scene.printed(scene.out_read, b"out\xff\x00\n")
    await scene.printed(scene.error_read, b"error\n")


@scenario
async def test_the_beginning_of_a_line_is_passed_on_when_no_more_comes(scene: Scene) -> None:
    os.write(scene.printers[0][0], b"50 %")
    await scene.printed(scene.out_read, b"50 %")
    os.write(scene.printers[0][0], b" 100 %\n")
    await scene.printed(scene.out_read, b"50 % 100 %\n")


@scenario
async def test_a_line_that_grows_slowly_is_passed_on_as_it_grows(scene: Scene) -> None:
    sent = 0
    while len(scene.read[scene.out_read]) < 3:  # a bar of progress, say; it never rests as long as a line may be held
        os.write(scene.printers[0][0], b"#")
        sent += 1
        assert sent < 3000
        await asyncio.sleep(0.01)
        scene.take(scene.out_read)


@scenario
async def test_who_prints_much_does_not_keep_others_waiting(scene: Scene) -> None:
    flood, over = scene.printers[0][0], threading.Event()

    def gush() -> None:
        while not over.is_set():
            os.write(flood, b"much\n" * 800)

    gushing = threading.Thread(target=gush)
    gushing.start()
    try:
        os.write(scene.printers[1][0], b"little\n")
        await eventually_async(lambda: _has(scene, b"little\n"), message="heard in the flood")
    finally:
        over.set()
        scene.take(scene.out_read)
        await asyncio.to_thread(gushing.join)


async def _has(scene: Scene, part: bytes) -> bool:
    scene.take(scene.out_read)
    return part in scene.read[scene.out_read]


@scenario
async def test_lines_that_are_printed_at_the_same_time_do_not_mix(scene: Scene) -> None:
    def lines(number: int) -> list[bytes]:
        return [b"%d:%d:%s\n" % (number, line, b"x" * (line * 37 % 3000)) for line in range(400)]

    def say(number: int) -> None:
        for line in lines(number):  # in pieces, as an unbuffered program would
            os.write(scene.printers[number][0], line[:3])
            os.write(scene.printers[number][0], line[3:])

    threads = [threading.Thread(target=say, args=(number,)) for number in range(2)]
    size = sum(len(line) for number in range(2) for line in lines(number))
    with patch(
        "warren.worker.output._HELD_SECONDS", 60.0
    ):  # a machine under load may keep a thread from the rest of its line
        for thread in threads:
            thread.start()
        await eventually_async(lambda: _has_size(scene, size))
    arrived = bytes(scene.read[scene.out_read]).splitlines(keepends=True)
    assert Counter(arrived) == Counter(lines(0) + lines(1))
    assert [line for line in arrived if line.startswith(b"0")] == lines(0)
    for thread in threads:
        thread.join()


async def _has_size(scene: Scene, size: int) -> bool:
    scene.take(scene.out_read)
    return len(scene.read[scene.out_read]) == size


@scenario
async def test_the_last_of_a_process_is_known_as_soon_as_it_has_ended(scene: Scene) -> None:
    os.write(scene.printers[0][0], b"before\n")
    await scene.printed(scene.out_read, b"before\n")
    began = time.monotonic()
    os.write(scene.printers[0][0], b"x" * 10_000 + b"\n")
    os.write(scene.printers[0][1], b"the end")
    scene.end(0)
    await scene.relay.finish(scene.tails[0])
    last = scene.tails[0].since(began)
    assert len(last) == LAST_BYTES
    assert last.endswith((b"the end", b"x\n"))
    assert scene.tails[0].since(time.monotonic()) == b""
    assert scene.tails[1].since(0.0) == b"", "each has its own"


@scenario
async def test_an_output_that_nobody_reads_stops_neither_the_other_nor_the_evidence(scene: Scene) -> None:
    os.set_blocking(scene.printers[0][0], False)
    taken, quiet_since = 0, time.monotonic()
    while time.monotonic() - quiet_since < 0.5:  # until nothing more is taken: what is held is bounded
        with suppress(BlockingIOError):
            taken += os.write(scene.printers[0][0], b"%4095d\n" % taken)
            quiet_since = time.monotonic()
            assert taken < 1 << 20
        await asyncio.sleep(0)
    os.write(scene.printers[1][1], b"still heard\n")
    await scene.printed(scene.error_read, b"still heard\n")
    os.set_blocking(scene.printers[0][1], False)
    os.write(scene.printers[0][1], b"my last words\n")
    scene.end(0)
    await scene.relay.finish(scene.tails[0])
    assert b"my last words\n" in scene.tails[0].since(0.0)
    await eventually_async(lambda: _has_size(scene, taken), message="all is passed on when somebody reads")


@scenario
async def test_an_output_that_was_closed_costs_only_what_should_go_there(scene: Scene) -> None:
    os.close(scene.out_read)
    for number in range(100):
        os.write(scene.printers[0][0], b"nobody reads line %d\n" % number)
    os.write(scene.printers[0][1], b"heard\n")
    await scene.printed(scene.error_read, b"heard\n")
    scene.end(0)
    await scene.relay.finish(scene.tails[0])
    assert b"nobody reads line 99\n" in scene.tails[0].since(0.0)
    scene.out_read = os.dup(scene.error_read)


@scenario
async def test_everything_has_been_passed_on_when_it_stops(scene: Scene) -> None:
    os.set_blocking(scene.out_read, True)
    said = b"".join(b"line %d\n" % number for number in range(5_000))
    heard = bytearray()

    def listen() -> None:
        while len(heard) < len(said) + 4 and (data := os.read(scene.out_read, 777)):
            heard.extend(data)

    listener = threading.Thread(target=listen)
    listener.start()
    await asyncio.to_thread(os.write, scene.printers[0][0], said)
    os.write(scene.printers[0][0], b"end")
    await scene.relay.close()
    listener.join()
    assert bytes(heard) == said + b"end\n", "a last line is ended"
    await scene.relay.finish(scene.tails[0])  # an answer, though nobody is there any more


chunks = st.lists(st.tuples(st.sampled_from([0, 1]), st.binary(min_size=1, max_size=3000)), max_size=12)


@given(chunks)
def test_a_tail_is_the_end_of_what_was_added(added: list[tuple[int, bytes]]) -> None:
    tail = Tail()
    for moment, (stream, chunk) in enumerate(added):
        tail.add(stream, chunk, float(moment))
    for moment in range(len(added) + 1):
        kept = tail.since(float(moment))
        whole = b"".join(chunk for _, chunk in added[moment:])
        assert len(kept) == min(len(whole), LAST_BYTES)
        if len(whole) <= LAST_BYTES:
            assert kept == whole


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 9))
def test_much_of_one_output_does_not_displace_the_other(said: bytes, times: int) -> None:
    for stream in (0, 1):
        tail = Tail()
        tail.add(stream, said, 1.0)
        for _ in range(times):
            tail.add(1 - stream, b"x" * 5000, 2.0)
        assert said[-LAST_BYTES // 2 :] in tail.since(0.0)


def test_a_log_has_the_last_line_that_says_something() -> None:
    assert last_line("first\n  second \n\n") == "second"
    assert last_line("\n") == ""
    assert last_line("x" * 500) == "x" * 200
