"""Which deliveries of a channel are held, and the frames that settle them: as few as say the same. Pure."""

from itertools import islice

from warren.amqp import pika_frames
from warren.amqp.seam import Settle


class Credits:
    """Of a stream nothing is settled, an ack only says how far it was read: the last stands for all before it.

    Args:
        channel: its number; it has no other consumer, so the tags of deliveries follow each other.
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._delivered = self._read = self._told = 0

    @property
    def held(self) -> int:
        """How many came after what was read."""
        return self._delivered - self._read

    @property
    def settled(self) -> int:
        """How many are read that the broker has not been told of."""
        return self._read - self._told

    def delivered(self, tag: int) -> None:
        """Know of a delivery."""
        self._delivered = tag

    def settle(self, tag: int, how: Settle) -> None:  # noqa: ARG002 - nothing is given back to a stream
        """Have read up to a delivery."""
        self._read = max(self._read, tag)

    def take(self) -> bytes:
        """Return the frame that says how far it was read: it is to be sent now."""
        if self._told == self._read:
            return b""
        self._told = self._read
        return pika_frames.settle(self._channel, self._read, Settle.ACK, multiple=True)


class Settles:
    """Deliveries are settled one by one, and the broker is told of them together.

    An ack may stand for all deliveries before its own as well (basic.ack, `multiple`), which costs the broker less than one
    ack for each: so it is used for those that have all been acked. Anything else is told first, so that no ack stands for it.

    Args:
        channel: its number.
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._untold: dict[int, None] = {}
        """The tags of deliveries of which the broker has not been told, nor is about to, that they are given back; in order."""
        self._acked: set[int] = set()
        self._given_back: list[bytes] = []

    @property
    def held(self) -> int:
        """How many are not settled."""
        return len(self._untold) - len(self._acked)

    @property
    def settled(self) -> int:
        """How many are settled that the broker has not been told of."""
        return len(self._acked) + len(self._given_back)

    def delivered(self, tag: int) -> None:
        """Hold a delivery; their tags only grow."""
        self._untold[tag] = None

    def settle(self, tag: int, how: Settle) -> None:
        """Settle a delivery that is held."""
        if how is Settle.ACK:
            self._acked.add(tag)
        else:
            del self._untold[tag]
            self._given_back.append(pika_frames.settle(self._channel, tag, how))

    def take(self) -> bytes:
        """Return the frames of what is settled: they are to be sent now."""
        frames, self._given_back = self._given_back, []
        last, number = 0, 0
        for tag in self._untold:
            if tag not in self._acked:
                break
            last, number = tag, number + 1
        if number:
            frames.append(pika_frames.settle(self._channel, last, Settle.ACK, multiple=number > 1))
            first = list(islice(self._untold, number))
            self._acked.difference_update(first)
            for tag in first:
                del self._untold[tag]
        for tag in self._acked:
            frames.append(pika_frames.settle(self._channel, tag, Settle.ACK))
            del self._untold[tag]
        self._acked.clear()
        return b"".join(frames)
