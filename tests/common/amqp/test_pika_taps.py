"""Every frame goes to one place, in order, however the bytes come."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from warren.amqp.pika_frames import END, HEAD
from warren.amqp.pika_taps import Taps

deterministic = settings(deadline=None, derandomize=True, database=None)


class Pika:
    """Stands for pika's connection; takes what nobody else does."""

    def __init__(self, seen: list[bytes]) -> None:
        self.conn: Any = self
        self.bytes_received = 0
        self._seen = seen

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self._seen.append(data)


def frame(channel: int, payload: bytes) -> bytes:
    return HEAD.pack(1, channel, len(payload)) + payload + bytes((END,))


FRAMES = st.lists(st.builds(frame, st.integers(0, 3), st.binary(max_size=12)), max_size=8)


def tapped(seen: list[bytes]) -> tuple[Taps, Pika]:
    """Channel 1 has answers, channel 2 other frames that are ours; the rest is pika's."""
    pika = Pika(seen)
    taps = Taps(pika)

    def take(kind: int, data: bytes, at: int, end: int) -> bool:
        seen.append(data[at - HEAD.size : end + 1])
        return True

    taps.on_loop.update({1: take, 2: take})
    taps.of_answers[1] = take
    return taps, pika


@deterministic
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 200), max_size=5), by_thread=st.lists(st.booleans(), min_size=6))
def test_all_frames_are_taken_in_order_whoever_reads_them(
    frames: list[bytes], cuts: list[int], by_thread: list[bool]
) -> None:
    seen: list[bytes] = []
    taps, pika = tapped(seen)
    data = b"".join(frames)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end, in_thread in zip(places, places[1:], by_thread, strict=False):
        rest = taps.take_answers(data[start:end]) if in_thread else data[start:end]
        taps.take(rest)
    assert seen == frames
    assert pika.bytes_received == len(data)


def test_a_thread_takes_answers_and_hands_on_from_the_first_other_frame() -> None:
    seen: list[bytes] = []
    taps, _ = tapped(seen)
    answers, others = [frame(1, b"a"), frame(1, b"b")], [frame(2, b"c"), frame(1, b"d")]
    assert taps.take_answers(b"".join(answers + others)) == b"".join(others)
    assert seen == answers


def test_an_answer_that_its_tap_leaves_is_handed_on() -> None:
    taps, pika = tapped([])
    taps.of_answers[1] = lambda *_: False
    assert taps.take_answers(frame(1, b"a")) == frame(1, b"a")
    assert pika.bytes_received == 0
