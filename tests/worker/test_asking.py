"""Jobs of several queues: taken when they can begin, of the queue whose turn it is; nothing else is held."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, cast

import pytest
from tests.support import eventually_async
from tests.worker.test_settle import scenario

from warren.amqp import memory
from warren.amqp.seam import Connection, ConnectionLost, Delivery, Message, Settle, Subscription, missing
from warren.shares import Share, shares
from warren.topology import Names, everything
from warren.worker.asking import Asking
from warren.worker.order import Order, Strict, Weighted
from warren.worker.read_ahead import ReadAhead
from warren.worker.session import Session

NAMES = Names("t")


@dataclass(eq=False)
class Running:
    """A job that was begun."""

    session: Session
    lane: int
    delivery: Delivery

    @property
    def name(self) -> str:
        return self.delivery.message.body.decode()


class Scene:
    """So many processes, these queues on a broker in memory, and whoever asks them."""

    def __init__(self, *texts: str, processes: int = 1, strict: bool = False) -> None:
        self.served = shares(texts)
        self.queues = tuple(share.queue for share in self.served)
        self.url = f"memory://{uuid.uuid4().hex}"
        self.ahead = ReadAhead(processes, 0)
        self.paused = set[str]()
        self.running: dict[str, Running] = {}
        self.begun: list[str] = []
        self.redelivered = set[str]()
        order: Order = Strict(self.queues) if strict else Weighted(self.served)
        self.asking = Asking(
            self.queues,
            order,
            self.ahead,
            working=lambda: cast("Any", self.running.values()),
            deliver=self._deliver,
            is_paused=self.paused.__contains__,
        )
        self.connections: list[Connection] = []

    async def __aenter__(self) -> Self:
        self.other = await memory.connect(self.url)
        await self.other.declare(*everything(NAMES, self.queues))
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in (self.other, *self.connections):
            await connection.close()
        memory.reset(self.url.removeprefix("memory://"))

    async def session(self) -> Session:
        """Connect and begin to take jobs."""
        connection = await memory.connect(self.url)
        self.connections.append(connection)
        session = Counting(NAMES, connection)
        await self.asking.open(session)
        return session

    async def put(self, *jobs: str, returned: int = 0) -> None:
        """Enqueue jobs; a job's name is that of its queue and a number."""
        headers = {"x-delivery-count": returned} if returned else {}
        messages = [(Message(job.encode(), headers=headers), job.rstrip("0123456789")) for job in jobs]
        await asyncio.gather(*[self.other.publish(message, NAMES.jobs, queue) for message, queue in messages])

    def end(self, job: str) -> None:
        """Have a job be done."""
        ended = self.running.pop(job)
        ended.session.settle(ended.delivery, Settle.ACK)
        self.asking.balance()

    def holds(self, queue: str) -> bool:
        """Whether a job of this queue was brought and has not begun."""
        assert self.asking._sentinels is not None
        return self.asking._sentinels.holds(queue)

    async def ready(self, queue: str) -> int:
        depth = await self.other.depth(NAMES.queue(queue))
        return depth.ready if depth else 0

    async def consumers(self) -> list[int]:
        """How many consumers each queue has."""
        depths = [await self.other.depth(NAMES.queue(queue)) for queue in self.queues]
        return [depth.consumers if depth else 0 for depth in depths]

    def _deliver(self, session: Session, lane: int, delivery: Delivery) -> None:
        job = Running(session, lane, delivery)
        self.begun.append(job.name)
        if delivery.redelivered:
            self.redelivered.add(job.name)
        self.running[job.name] = job


class Counting(Session):
    """A session that counts its questions and its sentinels."""

    asked = 0
    consumed = 0

    async def consume(self, queue: str, on_delivery: Callable[[Delivery], None]) -> Subscription:
        self.consumed += 1
        return await super().consume(queue, on_delivery)

    async def get(self, queue: str) -> Delivery | None:
        self.asked += 1
        return await super().get(queue)


async def eventually(condition: Any) -> None:
    async def asked() -> bool:
        found = condition()
        return bool(await found if asyncio.iscoroutine(found) else found)

    await eventually_async(asked)


async def in_a_few_turns(condition: Callable[[], bool]) -> None:
    """Wait for what must not take time: what is brought and does not begin goes back after 20 ms."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it takes longer")


def jobs(queue: str, number: int) -> list[str]:
    return [f"{queue}{each}" for each in range(number)]


@scenario
async def test_idle_queues_are_watched_and_what_comes_begins_without_a_question() -> None:
    async with Scene("a", "b", "c", processes=3) as scene:
        await scene.session()
        assert await scene.consumers() == [1, 1, 1]
        await scene.put("a0", "b0", "c0")
        await eventually(lambda: sorted(scene.begun) == ["a0", "b0", "c0"])
        assert all(job.lane >= 0 for job in scene.running.values())


@scenario
async def test_a_session_is_open_with_its_first_job_however_long_a_backlog_of_short_ones_lasts() -> None:
    async with Scene("a", "b", processes=40) as scene:
        await scene.put(*jobs("a", 300))
        begin = scene._deliver

        def run_at_once(session: Session, lane: int, delivery: Delivery) -> None:
            begin(session, lane, delivery)
            asyncio.get_running_loop().call_soon(scene.end, scene.begun[-1])

        scene.asking._deliver = run_at_once
        await scene.session()
        assert 0 < len(scene.begun) < 100


@scenario
async def test_an_idle_worker_asks_nothing() -> None:
    async with Scene("a", "b") as scene:
        session = cast("Counting", await scene.session())
        asked = session.asked
        await asyncio.sleep(0.1)  # several times as long as a queue without jobs is left alone
        assert session.asked == asked


@scenario
async def test_all_processes_are_used_whatever_queue_has_jobs() -> None:
    async with Scene("a", "b", "c", processes=5) as scene:
        await scene.session()
        await scene.put(*jobs("b", 7))
        await eventually(lambda: scene.begun == jobs("b", 5))
        assert await scene.ready("b") == 2


@scenario
async def test_while_all_processes_are_busy_nothing_is_consumed_and_nothing_held() -> None:
    async with Scene("a", "b", processes=2) as scene:
        await scene.put(*jobs("a", 5), *jobs("b", 5))
        await scene.session()
        await eventually(lambda: len(scene.running) == 2)
        assert await scene.consumers() == [0, 0]
        assert await scene.ready("a") + await scene.ready("b") == 8


@scenario
async def test_sentinels_are_withdrawn_when_all_processes_stay_busy_and_come_again() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.session()
        await scene.put("a0")
        await eventually(lambda: scene.begun == ["a0"])

        async def withdrawn() -> bool:
            return await scene.consumers() == [0, 0]

        async def posted() -> bool:
            return await scene.consumers() == [1, 1]

        await eventually(withdrawn)
        scene.end("a0")
        await eventually(posted)
        await scene.put("a1")
        await eventually(lambda: scene.begun == ["a0", "a1"])


@scenario
async def test_jobs_begin_by_weight() -> None:
    async with Scene("a=6", "b=3", "c", processes=2) as scene:
        await scene.put(*jobs("a", 70), *jobs("b", 40), *jobs("c", 20))
        await scene.session()
        while len(scene.begun) < 102:
            await in_a_few_turns(lambda: len(scene.running) == 2)
            scene.end(next(iter(scene.running)))
        counted = Counter(job[0] for job in scene.begun[:100])
        assert counted["a"] == pytest.approx(60, abs=2)
        assert counted["b"] == pytest.approx(30, abs=2)


@scenario
async def test_when_a_queue_is_empty_the_others_have_its_turns() -> None:
    async with Scene("a=6", "b=3", "c", processes=1) as scene:
        await scene.put(*jobs("b", 40), *jobs("c", 20))
        await scene.session()
        while len(scene.begun) < 40:
            await in_a_few_turns(lambda: len(scene.running) == 1)
            scene.end(next(iter(scene.running)))
        assert Counter(job[0] for job in scene.begun[:40]) == {"b": 30, "c": 10}


@scenario
async def test_strict_takes_nothing_of_a_queue_while_one_before_it_has_jobs() -> None:
    async with Scene("a", "b", processes=1, strict=True) as scene:
        await scene.put("b0", "b1", "b2", "a0", "a1")
        await scene.session()
        for running in ("a0", "a1", "b0"):
            await eventually(lambda running=running: scene.begun[-1:] == [running])
            scene.end(running) if running != "b0" else None
        await scene.put("a2")
        scene.end("b0")
        await eventually(lambda: "a2" in scene.running)
        scene.end("a2")
        await eventually(lambda: scene.begun == ["a0", "a1", "b0", "a2", "b1"])


@scenario
async def test_what_arrives_at_once_and_cannot_begin_goes_back_soon() -> None:
    async with Scene("a", "b", "c", processes=1) as scene:
        await scene.session()
        await scene.put("a0", "b0", "c0")
        await eventually(lambda: len(scene.begun) == 1)

        async def back() -> bool:
            return [await scene.ready(queue) for queue in "abc"] == [0, 1, 1] and await scene.consumers() == [0, 0, 0]

        await eventually(back)
        scene.end("a0")
        await eventually(lambda: scene.begun in (["a0", "b0"], ["a0", "c0"]))


@scenario
async def test_a_surplus_is_next_if_a_process_becomes_free_at_once() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.session()
        await scene.put("a0", "b0")
        await in_a_few_turns(lambda: scene.begun == ["a0"] and scene.holds("b"))
        scene.end("a0")
        await in_a_few_turns(lambda: scene.begun == ["a0", "b0"])
        assert not scene.redelivered


@scenario
async def test_a_surplus_near_its_delivery_limit_is_kept_until_it_can_begin() -> None:
    async with Scene("a", "b", "c", processes=1) as scene:
        await scene.session()
        await asyncio.gather(scene.put("a0", "b0"), scene.put("c0", returned=10))

        async def back() -> bool:
            return await scene.ready("b") == 1

        await eventually(back)
        assert await scene.ready("c") == 0
        scene.end("a0")
        await eventually(lambda: len(scene.begun) == 2)
        scene.end(scene.begun[-1])
        await eventually(lambda: sorted(scene.begun) == ["a0", "b0", "c0"])
        assert "c0" not in scene.redelivered


@scenario
async def test_nothing_is_taken_of_a_paused_queue() -> None:
    async with Scene("a", "b", processes=2) as scene:
        scene.paused.add("a")
        await scene.session()
        assert await scene.consumers() == [0, 1]
        await scene.put("a0", "b0")
        await eventually(lambda: scene.begun == ["b0"])
        assert await scene.ready("a") == 1
        scene.paused.clear()
        scene.asking.balance()
        await eventually(lambda: scene.begun == ["b0", "a0"])


@scenario
async def test_a_sentinel_leaves_a_queue_that_is_paused() -> None:
    async with Scene("a", "b", processes=2) as scene:
        await scene.session()
        scene.paused.add("a")
        scene.asking.balance()

        async def left() -> bool:
            return await scene.consumers() == [0, 1]

        await eventually(left)


@scenario
async def test_what_was_brought_goes_back_when_its_queue_is_paused() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.session()
        await scene.put("a0", "b0")
        await in_a_few_turns(lambda: scene.begun == ["a0"] and scene.holds("b"))
        scene.paused.add("b")
        scene.end("a0")

        async def back() -> bool:
            return await scene.ready("b") == 1 and await scene.consumers() == [1, 0]

        await eventually(back)
        assert scene.begun == ["a0"]


@scenario
async def test_while_something_of_a_paused_queue_goes_back_the_other_queues_are_watched_as_ever() -> None:
    async with Scene("a", "b", "c", processes=1) as scene:
        session = cast("Counting", await scene.session())
        await scene.put("a0", "b0")
        await in_a_few_turns(lambda: scene.begun == ["a0"] and scene.holds("b"))
        before = session.consumed
        scene.paused.add("b")
        scene.end("a0")

        async def back() -> bool:
            return await scene.ready("b") == 1 and await scene.consumers() == [1, 0, 1]

        await eventually(back)
        assert session.consumed - before <= 2


@scenario
async def test_what_is_near_its_delivery_limit_goes_back_all_the_same_when_its_queue_is_paused() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.session()
        await scene.put("a0")
        await in_a_few_turns(lambda: scene.begun == ["a0"])
        await scene.put("b0", returned=10)
        await in_a_few_turns(lambda: scene.holds("b"))
        scene.paused.add("b")
        scene.end("a0")

        async def back() -> bool:
            return await scene.ready("b") == 1

        await eventually(back)


@scenario
async def test_what_was_being_asked_for_goes_back_when_its_queue_is_paused_meanwhile() -> None:
    async with Scene("a=9", "b", processes=1) as scene:
        await scene.put("a0", "a1")
        await scene.session()
        scene.end("a0")  # which asks for the next
        assert scene.asking._known.asked == 1
        scene.paused.add("a")
        scene.asking.close_all_but((), lambda: None)

        async def back() -> bool:
            return not scene.holds("a") and await scene.ready("a") == 1 and await scene.consumers() == [0, 1]

        await eventually(back)
        assert scene.begun == ["a0"]


@scenario
async def test_what_is_to_be_done_without_consumers_is_done_when_they_are_gone() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.session()
        done = asyncio.get_running_loop().create_future()
        scene.asking.close_all_but((), lambda: done.set_result(None))
        await done

        async def posted() -> bool:
            return await scene.consumers() == [1, 1]

        await eventually(posted)


@scenario
async def test_more_is_taken_when_more_may_be_held() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.put(*jobs("a", 3), *jobs("b", 3))
        await scene.session()
        await eventually(lambda: len(scene.begun) == 1)
        scene.ahead.processes = 3
        scene.asking.balance()
        await eventually(lambda: len(scene.begun) == 3)
        scene.ahead.processes = 1
        scene.end(scene.begun[0])
        scene.end(scene.begun[1])
        await asyncio.sleep(0.05)  # nothing can be waited for: nothing happens
        assert len(scene.begun) == 3


@scenario
async def test_a_new_session_asks_only_for_processes_that_are_free() -> None:
    async with Scene("a", "b", processes=2) as scene:
        await scene.put("a0", "b0", "a1")
        await scene.session()
        await eventually(lambda: len(scene.begun) == 2)
        await scene.connections[0].close()
        running = list(scene.running)
        second = await scene.session()
        assert scene.begun == running
        scene.running.pop(running[0])
        scene.asking.balance()
        await eventually(lambda: len(scene.begun) > 2)
        assert scene.running[scene.begun[2]].session is second


@scenario
async def test_a_queue_that_is_deleted_while_nothing_consumes_it_ends_the_session_by_name() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.put("b0")
        session = await scene.session()

        async def unwatched() -> bool:
            return await scene.consumers() == [0, 0]

        await eventually(unwatched)
        memory.delete_queue(scene.url.removeprefix("memory://"), NAMES.queue("a"))
        scene.end("b0")
        assert await session.lost == missing(NAMES.queue("a"))


@scenario
async def test_a_queue_that_is_not_there_is_told_to_whoever_opens() -> None:
    async with Scene("a", "b", processes=1) as scene:
        memory.delete_queue(scene.url.removeprefix("memory://"), NAMES.queue("b"))
        with pytest.raises(ConnectionLost, match=r"no queue 't\.queue\.b'"):
            await scene.session()


@scenario
async def test_what_was_brought_of_a_queue_that_is_deleted_is_run_because_nobody_else_has_it() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.session()
        await scene.put("a0", "b0")
        await in_a_few_turns(lambda: scene.begun == ["a0"] and scene.holds("b"))
        scene.asking.lost("b")
        assert scene.begun == ["a0", "b0"]


@scenario
async def test_a_drain_gives_back_what_was_brought_and_what_was_being_asked_for() -> None:
    async with Scene("a", "b", "c", processes=1) as scene:
        await scene.session()
        await scene.put("a0", "b0")
        await eventually(lambda: scene.begun == ["a0"])
        await scene.asking.drain()
        assert [await scene.ready(queue) for queue in "ab"] == [0, 1]
        await scene.put("c0")
        scene.end("a0")
        await asyncio.sleep(0.05)  # nothing can be waited for: nothing happens
        assert scene.begun == ["a0"]
        assert await scene.consumers() == [0, 0, 0]


@scenario
async def test_a_question_on_its_way_when_a_drain_begins_keeps_no_job() -> None:
    async with Scene("a", "b", processes=1) as scene:
        await scene.put("a0", "a1")
        await scene.session()
        await eventually(lambda: scene.begun == ["a0"])
        scene.end("a0")  # which asks for the next
        await scene.asking.drain()
        assert scene.begun == ["a0"]
        assert await scene.ready("a") == 1


def test_a_share_is_a_queue_and_its_weight() -> None:
    assert shares(["a=6", "b"]) == (Share("a", 6), Share("b", 1))
