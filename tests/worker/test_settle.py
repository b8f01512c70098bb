"""Which deliveries are jobs we know, and that a plan is acted upon once."""

import asyncio
from typing import Any, cast

import pytest
from tests.support import eventually_async

from warren.amqp.seam import ConnectionLost, Delivery, Message, Settle
from warren.events import Event, Events, PublishDelayed
from warren.worker.execution import Execution, Key
from warren.worker.plan import Plan, Publish
from warren.worker.settle import Settler

KEY: Key = ("job", 1, 0, 42)


class FakeSession:
    """One life of a connection: remembers what was settled."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.settled: list[tuple[int, Settle]] = []

    @property
    def alive(self) -> bool:
        return not self.lost.done()

    def settle(self, delivery: Delivery, how: Settle) -> bool:
        if self.alive:
            self.settled.append((delivery.tag, how))
        return self.alive


class FakeOutlet:
    """Publishes into a list; confirms when told, or at once."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.written: list[Publish] = []
        self.confirms: list[asyncio.Future[None]] = []
        self.repaired = 0
        self._at_once = at_once

    async def send(self, publish: Publish) -> asyncio.Future[None]:
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.written.append(publish)
        self.confirms.append(confirm)
        if self._at_once:
            confirm.set_result(None)
        return confirm

    async def repair(self, error: BaseException) -> None:
        self.repaired += 1


class Scene:
    """A settler with its fakes."""

    def __init__(self, *, at_once: bool = True, deadline: float = 5.0) -> None:
        self.outlet = FakeOutlet(at_once=at_once)
        self.events: list[Event] = []
        self.settler = Settler(Events(self.events.append), cast("Any", self.outlet), deadline=deadline, doubt=90.0)

    def delivered(self, session: FakeSession, tag: int, *, redelivered: bool, lane: int = 0) -> Execution:
        delivery = Delivery(Message(b""), "q", "", "default", redelivered, tag, None)
        return Execution(cast("Any", session), delivery, lane, KEY, "default", "m:f")


async def true_of(value: object) -> bool:
    return bool(value)


def plan() -> Plan:
    return Plan("done", (Publish(Message(b"result"), "results", "-", mandatory=False),))


def scenario(test: Any) -> Any:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 20))

    run.__name__ = test.__name__
    return run


@scenario
async def test_a_plan_is_published_then_acked_once() -> None:
    scene, session = Scene(), FakeSession()
    work = scene.settler.begin(scene.delivered(session, 1, redelivered=False))
    assert work is not None
    work.plan = plan()
    await scene.settler.settle(work)
    assert (len(scene.outlet.written), session.settled) == (1, [(1, Settle.ACK)])


@scenario
async def test_an_equal_message_that_is_not_redelivered_is_another_job() -> None:
    scene, session = Scene(), FakeSession()
    first, second = (scene.delivered(session, tag, redelivered=False) for tag in (1, 2))
    assert scene.settler.begin(first) is first
    assert scene.settler.begin(second) is second


@scenario
async def test_what_had_not_begun_when_its_connection_was_lost_is_known_when_it_comes_again() -> None:
    scene, lost, session = Scene(), FakeSession(), FakeSession()
    first = scene.delivered(lost, 1, redelivered=False)
    assert scene.settler.begin(first) is first
    lost.lost.set_result("cut")
    scene.settler.give_back(first)
    again = scene.delivered(session, 2, redelivered=True)
    assert scene.settler.begin(again) is again
    assert again.spared
    scene.settler.give_back(again)
    later = scene.delivered(session, 3, redelivered=True)
    assert scene.settler.begin(later) is later
    assert not later.spared, "it was given back in order this time"


@scenario
async def test_a_twin_redelivered_on_the_session_that_holds_the_first_is_another_job() -> None:
    scene, session = Scene(), FakeSession()
    first, twin = scene.delivered(session, 1, redelivered=False), scene.delivered(session, 2, redelivered=True)
    assert scene.settler.begin(first) is first
    assert scene.settler.begin(twin) is twin


@scenario
async def test_a_redelivery_of_a_running_job_is_attached_to_its_new_lane() -> None:
    scene, old, new = Scene(), FakeSession(), FakeSession()
    running = scene.delivered(old, 1, redelivered=False, lane=0)
    scene.settler.begin(running)
    old.lost.set_result("gone")
    begun = scene.settler.begin(scene.delivered(new, 1, redelivered=True, lane=1))
    assert (begun, running.lane) == (None, 1)
    running.plan = plan()
    await scene.settler.settle(running)
    assert new.settled == [(1, Settle.ACK)]


@scenario
async def test_an_outcome_whose_delivery_is_gone_is_parked_and_settled_by_the_redelivery_without_a_second_run() -> None:
    scene, old, new = Scene(), FakeSession(), FakeSession()
    ended = scene.delivered(old, 1, redelivered=False)
    scene.settler.begin(ended)
    ended.plan = plan()
    old.lost.set_result("gone")
    await scene.settler.settle(ended)
    assert scene.outlet.written == []
    begun = scene.settler.begin(scene.delivered(new, 7, redelivered=True))
    assert begun is ended
    await scene.settler.settle(ended)
    assert (len(scene.outlet.written), new.settled) == (1, [(7, Settle.ACK)])


@scenario
async def test_a_job_whose_ack_was_lost_is_acked_again_without_a_run_but_only_over_another_session() -> None:
    scene, old, new = Scene(), FakeSession(), FakeSession()
    ended = scene.delivered(old, 1, redelivered=False)
    scene.settler.begin(ended)
    ended.plan = plan()
    await scene.settler.settle(ended)
    same_session = scene.delivered(old, 2, redelivered=True)
    assert scene.settler.begin(same_session) is same_session
    scene.settler.give_back(same_session)
    assert scene.settler.begin(scene.delivered(new, 3, redelivered=True)) is None
    assert new.settled == [(3, Settle.ACK)]


@scenario
async def test_what_is_written_and_not_confirmed_is_waited_for_and_not_written_again() -> None:
    scene, session = Scene(at_once=False, deadline=0.05), FakeSession()
    ended = scene.delivered(session, 1, redelivered=False)
    scene.settler.begin(ended)
    ended.plan = plan()
    settling = asyncio.create_task(scene.settler.settle(ended))
    await eventually_async(lambda: true_of(any(isinstance(event, PublishDelayed) for event in scene.events)))
    scene.outlet.confirms[0].set_result(None)
    await settling
    assert (len(scene.outlet.written), session.settled) == (1, [(1, Settle.ACK)])


@scenario
async def test_what_was_lost_is_written_again() -> None:
    scene, session = Scene(at_once=False), FakeSession()
    ended = scene.delivered(session, 1, redelivered=False)
    scene.settler.begin(ended)
    ended.plan = plan()
    settling = asyncio.create_task(scene.settler.settle(ended))
    await eventually_async(lambda: true_of(scene.outlet.confirms))
    scene.outlet.confirms[0].set_exception(ConnectionLost("gone"))
    await eventually_async(lambda: true_of(len(scene.outlet.confirms) == 2))
    scene.outlet.confirms[1].set_result(None)
    await settling
    assert (scene.outlet.repaired, session.settled) == (1, [(1, Settle.ACK)])


@pytest.mark.parametrize("parked", [True, False], ids=["ended before", "ended after"])
def test_a_job_whose_queue_was_deleted_is_settled_over_the_next_session_without_an_ack(parked: bool) -> None:
    async def test() -> None:
        scene, old, new = Scene(), FakeSession(), FakeSession()
        execution = scene.delivered(old, 1, redelivered=False)
        scene.settler.begin(execution)
        old.lost.set_result("cancelled")
        if parked:
            execution.plan = plan()
            await scene.settler.settle(execution)
        scene.settler.lost(cast("Any", old), "default")
        assert scene.settler.adopt(cast("Any", new)) == ([execution] if parked else [])
        execution.plan = plan()
        await scene.settler.settle(execution)
        assert (len(scene.outlet.written), new.settled) == (1, [])
        assert scene.settler.begin(scene.delivered(new, 2, redelivered=True)) is None

    asyncio.run(asyncio.wait_for(test(), 20))
