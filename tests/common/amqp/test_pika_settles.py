"""However settles are put together, the broker is told of each delivery what was said of it."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from warren.amqp import pika_frames
from warren.amqp.pika_settles import Settles
from warren.amqp.seam import Settle

FRAME = struct.Struct(">BHIIQBB")
METHODS = {pika_frames.ACK: Settle.ACK, pika_frames.NACK: Settle.GIVE_BACK, pika_frames.REJECT: Settle.RETURN}


class Broker:
    """What a broker understands of the frames."""

    def __init__(self) -> None:
        self.unacked: list[int] = []
        self.told: dict[int, Settle] = {}
        self.frames = 0

    def hear(self, frames: bytes) -> None:
        for _, _, _, method, tag, bits, _ in FRAME.iter_unpack(frames):
            self.frames += 1
            assert tag in self.unacked, "it closes the channel over a tag that it does not know"
            how = METHODS[method]
            tags = [each for each in self.unacked if each <= tag] if how is Settle.ACK and bits & 1 else [tag]
            for each in tags:
                self.unacked.remove(each)
                self.told[each] = how


steps = st.lists(
    st.one_of(st.just("deliver"), st.just("tell"), st.tuples(st.integers(0, 40), st.sampled_from(Settle))),
    max_size=80,
)


@settings(deadline=None, derandomize=True, database=None, max_examples=400)
@given(steps)
def test_the_broker_is_told_of_each_delivery_what_was_said_of_it(steps: list[object]) -> None:
    settles, broker, said = Settles(1), Broker(), dict[int, Settle]()
    held: list[int] = []
    for tag, step in enumerate(steps, 1):
        if step == "deliver":
            broker.unacked.append(tag)
            settles.delivered(tag)
            held.append(tag)
        elif step == "tell":
            broker.hear(settles.take())
            assert broker.told == said
        elif isinstance(step, tuple) and held:
            place, how = step
            settled = held.pop(place % len(held))
            settles.settle(settled, how)
            said[settled] = how
        assert settles.held == len(held)
        assert settles.settled == len(said) - len(broker.told)
    broker.hear(settles.take())
    assert broker.told == said
    assert broker.unacked == held


def test_acks_of_all_that_came_are_one() -> None:
    settles, broker = Settles(1), Broker()
    for tag in range(1, 18):
        settles.delivered(tag)
        broker.unacked.append(tag)
    for tag in reversed(range(1, 17)):
        settles.settle(tag, Settle.ACK)
    broker.hear(settles.take())
    assert (broker.unacked, broker.frames) == ([17], 1)
