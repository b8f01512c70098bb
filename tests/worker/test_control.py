"""How a worker hears commands: those from before it started, those it missed, those that come; on memory, pika and aio-pika."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from tests.common.amqp.conftest import side
from tests.common.amqp.harness import Side, eventually, scenario

from warren.amqp.seam import ChannelRefused, Connection, ConnectionLost, Message, StreamAt, StreamStart
from warren.asking import Asker
from warren.control import Command, PauseQueue, ResumeQueue
from warren.events import CommandIgnored, ControlUnavailable, Event, Events
from warren.settings import Settings
from warren.topology import Names, Queue, base
from warren.worker.control import Control
from warren.worker.outlet import Outlet

__all__ = ["side"]  # the fixture


def pause(number: int) -> PauseQueue:
    return PauseQueue(f"q{number}", float(number))


class Hearer:
    """A worker's control with nothing else of the worker."""

    def __init__(self, side: Side, name: str = "w", *, publish_timeout: float = 10.0, declare: bool = True) -> None:
        settings = Settings(
            url=side.url,
            namespace=side.prefix,
            engine="" if side.engine == "memory" else side.engine.removesuffix("_engine"),
            publish_timeout=publish_timeout,
            declare=declare,
        )
        self.heard: list[Command] = []
        self.events: list[Event] = []
        self.outlet = Outlet(settings, name)
        self.control = Control(settings, name, self.outlet, Events(self.events.append))
        self.control.on(PauseQueue, self._pause)
        self.control.on(ResumeQueue, self._resume)
        self._side = side

    def _pause(self, command: PauseQueue) -> ResumeQueue:
        self.heard.append(command)
        return ResumeQueue(command.queue, command.at)

    async def _resume(self, command: ResumeQueue) -> PauseQueue:
        self.heard.append(command)
        return PauseQueue(command.queue, command.at)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        async with self._side.connected() as connection:
            await self.control.open(connection)
            yield connection

    @property
    def commands(self) -> list[Command]:
        """What was heard, each once: when a worker disconnects just then, the broker may take a command twice."""
        return list(dict.fromkeys(self.heard))

    async def has_heard(self, command: Command) -> bool:
        return command in self.heard


@asynccontextmanager
async def asking(side: Side) -> AsyncIterator[tuple[Connection, Asker]]:
    async with side.connected() as connection:
        await connection.declare(*base(Names(side.prefix)))
        yield connection, await Asker.open(connection, Names(side.prefix))


@scenario
async def test_what_was_said_before_a_worker_started_is_heard_before_it_goes_on(side: Side) -> None:
    async with asking(side) as (_, asker):
        for number in range(20):
            await asker.ask(pause(number), 0)
        late = Hearer(side)
        async with late.session():
            assert late.commands == [pause(number) for number in range(20)]
        await late.outlet.close()


@scenario
async def test_what_is_said_now_is_heard_and_answered_by_all_or_by_the_one_that_is_named(side: Side) -> None:
    one, other = Hearer(side, "one"), Hearer(side, "other")
    async with asking(side) as (_, asker), one.session(), other.session():
        both = await asker.ask(pause(1), 30, enough=lambda replies: len(replies) == 2)
        assert {(reply.worker, reply.read(ResumeQueue)) for reply in both} == {
            ("one", ResumeQueue("q1", 1.0)),
            ("other", ResumeQueue("q1", 1.0)),
        }
        (only,) = await asker.ask(ResumeQueue("q1", 2.0), 30, worker="other", enough=bool)
        assert (only.worker, only.read(PauseQueue)) == ("other", PauseQueue("q1", 2.0))
        assert ResumeQueue("q1", 2.0) not in one.heard
    await one.outlet.close()
    await other.outlet.close()


@scenario
async def test_a_worker_that_was_away_reads_what_it_missed_and_no_more(side: Side) -> None:
    hearer = Hearer(side)
    async with asking(side) as (_, asker):
        await asker.ask(pause(0), 0)
        async with hearer.session():
            pass
        await asker.ask(pause(1), 0)
        hearer.heard.clear()
        async with hearer.session():
            assert hearer.commands == [pause(1)]
    await hearer.outlet.close()


@pytest.mark.parametrize("said", [1, 10])
@scenario
async def test_a_stream_that_was_deleted_and_declared_again_is_read_from_its_beginning(side: Side, said: int) -> None:
    hearer = Hearer(side, publish_timeout=1.0)
    async with asking(side) as (connection, asker):
        for number in range(5):
            await asker.ask(pause(number), 0)
        async with hearer.session():
            pass
        names = Names(side.prefix)
        await side.delete_queue(Queue(names.control))
        await connection.declare(*base(names))
        for number in range(said):
            await asker.ask(pause(100 + number), 0)
        hearer.heard.clear()
        async with hearer.session():
            assert hearer.commands == [pause(100 + number) for number in range(said)]
    await hearer.outlet.close()


@scenario
async def test_what_is_no_command_is_told_and_disturbs_nothing(side: Side) -> None:
    hearer = Hearer(side)
    async with asking(side) as (connection, asker):
        await connection.publish(Message(b"{}", type="odd"), Names(side.prefix).control, "kept.odd", mandatory=False)
        async with hearer.session():
            assert [event for event in hearer.events if isinstance(event, CommandIgnored)]
            await asker.ask(pause(1), 0)
            await eventually(lambda: hearer.has_heard(pause(1)))
    await hearer.outlet.close()


@scenario
async def test_a_handler_that_fails_disturbs_nothing(side: Side, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: PauseQueue) -> None:
        raise ValueError("a bug")

    hearer = Hearer(side)
    hearer.control.on(PauseQueue, broken)
    async with asking(side) as (_, asker), hearer.session():
        await asker.ask(pause(1), 0)
        await asker.ask(ResumeQueue("q", 2.0), 30, enough=bool)
        assert ResumeQueue("q", 2.0) in hearer.heard
    assert "a command could not be obeyed" in capsys.readouterr().out
    await hearer.outlet.close()


@scenario
async def test_where_there_is_no_control_and_nobody_declares_it_a_worker_goes_on_without(side: Side) -> None:
    hearer = Hearer(side, declare=False)
    async with hearer.session() as connection:
        assert [type(event) for event in hearer.events] == [ControlUnavailable]
        assert not connection.lost.done()
    await hearer.outlet.close()


@scenario
async def test_a_broker_that_cannot_reach_its_control_just_now_is_asked_again_by_whoever_does_not_declare(
    side: Side,
) -> None:
    class Starting:
        async def declare(self, *_: object) -> None:
            raise ChannelRefused(
                404, "NOT_FOUND - home node 'a@b' of durable queue 'c' in vhost '/' is down or inaccessible"
            )

    hearer = Hearer(side, declare=False)
    with pytest.raises(ChannelRefused, match="inaccessible"):
        await hearer.control.open(cast("Connection", Starting()))
    assert hearer.events == []


def test_a_stream_that_is_silent_is_at_its_end_when_an_alarm_keeps_marks_away() -> None:
    from warren.amqp import memory

    async def blocked() -> None:
        side = Side("memory", "memory://alarm", "t")
        async with asking(side) as (_, asker):
            await asker.ask(pause(1), 0)
            memory.block("alarm", on=True)
            hearer = Hearer(side, publish_timeout=0.2)
            async with hearer.session():
                assert hearer.commands == [pause(1)]
            memory.block("alarm", on=False)
            await hearer.outlet.close()

    asyncio.run(asyncio.wait_for(blocked(), 30))
    memory.reset("alarm")


@scenario
async def test_a_mark_that_cannot_be_written_in_time_is_a_loss_after_which_a_worker_tries_again(side: Side) -> None:
    hearer = Hearer(side, publish_timeout=0.05)
    async with asking(side), side.connected() as connection, hearer.outlet._opening:
        with pytest.raises(ConnectionLost, match="in time"):
            await hearer.control.open(connection)


@scenario
async def test_an_answer_to_somebody_else_is_not_taken(side: Side) -> None:
    hearer = Hearer(side)
    async with asking(side) as (_, asker), asking(side) as (_, other), hearer.session():
        mine, theirs = await asyncio.gather(asker.ask(pause(1), 30, enough=bool), other.ask(pause(2), 30, enough=bool))
        assert [reply.read(ResumeQueue).queue for reply in (*mine, *theirs)] == ["q1", "q2"]
    await hearer.outlet.close()


def test_offsets_are_said_as_the_broker_wants_them() -> None:
    from warren.amqp.streams import offset_argument

    assert offset_argument(StreamAt(7)) == {"x-stream-offset": 7}
    assert offset_argument(StreamStart.FIRST) == {"x-stream-offset": "first"}
    assert offset_argument(None) is None
