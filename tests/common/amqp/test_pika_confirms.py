"""Every tag is answered once, and whoever waits for several is told of each."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.common.amqp.harness import scenario

from warren.amqp import pika_frames
from warren.amqp.pika_confirms import Sheaf, Unanswered
from warren.amqp.pika_frames import HEAD
from warren.amqp.seam import AmqpError, ChannelRefused, ConnectionLost, Late, Message, Nacked, Returned, SomeFailed

ADDRESS = ("warren.jobs", "default")


class Waiting:
    """Somebody who waits in another thread."""

    def __init__(self) -> None:
        self.told: list[AmqpError | None] = []

    def done(self) -> bool:
        return bool(self.told)

    def set_result(self, _: None, /) -> None:
        self.told.append(None)

    def set_exception(self, exception: AmqpError, /) -> None:
        self.told.append(exception)

    @property
    def errors(self) -> dict[int, type[AmqpError]]:
        """What became of those that failed, by place."""
        (error,) = self.told
        assert isinstance(error, SomeFailed)
        return {place: type(why) for place, why in error.errors.items()}


def sheaf(size: int, confirm: Waiting | None = None) -> tuple[Waiting, Sheaf]:
    confirm = confirm or Waiting()
    return confirm, Sheaf(confirm, [Message(b"", message_id=f"m{place}") for place in range(size)], ADDRESS)


def answer(unanswered: Unanswered, tag: int, *, multiple: bool = False, acked: bool = True) -> None:
    payload = bytes(4) + tag.to_bytes(8, "big") + bytes((multiple,))
    unanswered.answer(HEAD.pack(pika_frames.METHOD, 1, len(payload)) + payload, HEAD.size, acked=acked)


def test_one_is_told_when_it_is_answered() -> None:
    unanswered = Unanswered()
    (first, one), (second, two) = sheaf(1), sheaf(1)
    unanswered.add(one)
    unanswered.add(two)
    answer(unanswered, 2)
    assert (first.told, second.told) == ([], [None])
    answer(unanswered, 1, acked=False)
    assert isinstance(first.told[0], Nacked)


@settings(deadline=None, derandomize=True, database=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
def test_all_are_told_once_however_the_answers_come(sizes: list[int], data: st.DataObject) -> None:
    unanswered, waiting = Unanswered(), []
    for size in sizes:
        confirm, one = sheaf(size)
        unanswered.add(one)
        waiting.append(confirm)
    left = set(range(1, sum(sizes) + 1))
    refused = set()
    while left:
        tag, multiple, acked = (
            data.draw(st.sampled_from(sorted(left))),
            data.draw(st.booleans()),
            data.draw(st.booleans()),
        )
        answered = {each for each in left if each <= tag} if multiple else {tag}
        answer(unanswered, tag, multiple=multiple, acked=acked)
        left -= answered
        refused |= set() if acked else answered
    first = 1
    for size, confirm in zip(sizes, waiting, strict=True):
        places = {tag - first for tag in refused if first <= tag < first + size}
        first += size
        if not places:
            assert confirm.told == [None]
        elif size == 1:
            assert isinstance(confirm.told[0], Nacked)
        else:
            assert confirm.errors == dict.fromkeys(places, Nacked)


def test_what_came_back_is_the_fate_of_that_one_alone() -> None:
    unanswered, (confirm, three) = Unanswered(), sheaf(3)
    unanswered.add(three)
    unanswered.returned("m1", ADDRESS, "312 NO_ROUTE")
    unanswered.returned("m2", ("elsewhere", "default"), "not one of these")
    answer(unanswered, 3, multiple=True)
    assert confirm.errors == {1: Returned}


def test_when_the_connection_ends_only_the_unanswered_fail() -> None:
    unanswered, (confirm, three) = Unanswered(), sheaf(3)
    unanswered.add(three)
    answer(unanswered, 1)
    unanswered.fail(ConnectionLost("cut"))
    assert confirm.errors == {1: ConnectionLost, 2: ConnectionLost}


def test_a_refusal_is_nobodys_where_there_are_several() -> None:
    unanswered, (confirm, two) = Unanswered(), sheaf(2)
    unanswered.add(two)
    unanswered.fail(ChannelRefused(404, "no exchange"))
    assert confirm.errors == {0: ConnectionLost, 1: ConnectionLost}
    alone, one = sheaf(1)
    unanswered.add(one)
    unanswered.fail(ChannelRefused(404, "no exchange"))
    assert isinstance(alone.told[0], ChannelRefused)


def test_an_interrupt_while_an_answer_is_counted_still_tells_whoever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Unanswered, __: Sheaf) -> None:
        raise KeyboardInterrupt

    unanswered, (confirm, two), (other, three) = Unanswered(), sheaf(2), sheaf(1)
    unanswered.add(two)
    unanswered.add(three)
    with monkeypatch.context() as patch:
        patch.setattr(Unanswered, "_count", interrupted)
        with pytest.raises(KeyboardInterrupt):
            answer(unanswered, 2, acked=False)
        with pytest.raises(KeyboardInterrupt):
            answer(unanswered, 3)
    unanswered.fail(ConnectionLost("cut"))
    assert confirm.errors == {0: ConnectionLost, 1: Nacked}
    assert other.told == [None]


def test_one_that_fails_alone_leaves_the_others_alone() -> None:
    unanswered, (confirm, two), (other, one) = Unanswered(), sheaf(2), sheaf(1)
    unanswered.add(two)
    unanswered.add(one)
    unanswered.fail_one(two, ConnectionLost("interrupted"))
    assert confirm.errors == {0: ConnectionLost, 1: ConnectionLost}
    assert other.told == []
    answer(unanswered, 3, multiple=True)
    assert other.told == [None]


def test_whoever_gives_up_hears_which_were_answered() -> None:
    unanswered, (confirm, three) = Unanswered(), sheaf(3)
    unanswered.add(three)
    answer(unanswered, 1)
    answer(unanswered, 2, acked=False)
    known = unanswered.give_up(confirm)
    assert isinstance(known, SomeFailed)
    assert {place: type(why) for place, why in known.errors.items()} == {1: Nacked, 2: Late}
    answer(unanswered, 3)
    assert isinstance(unanswered.give_up(confirm), Late)


def test_whoever_gave_up_is_not_told() -> None:
    unanswered, (confirm, one) = Unanswered(), sheaf(1)
    unanswered.add(one)
    confirm.told.append(None)
    answer(unanswered, 1, acked=False)
    assert confirm.told == [None]


@scenario
async def test_what_is_waited_for_on_the_loop_is_counted() -> None:
    unanswered, future = Unanswered(), asyncio.get_running_loop().create_future()
    unanswered.add(Sheaf(future, [Message(b"")] * 2, ADDRESS))
    assert unanswered.for_loop == 1
    answer(unanswered, 2, multiple=True)
    assert (unanswered.for_loop, future.done()) == (0, True)
