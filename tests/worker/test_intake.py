"""What a worker holds: deliveries that cannot begin go back, those of a lost connection are forgotten, nothing comes twice."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, cast

from tests.support import eventually_async
from tests.worker.test_settle import FakeOutlet, scenario, true_of

from warren.amqp.seam import Delivery, Message, Settle, cancelled
from warren.control import Held
from warren.events import Events
from warren.job import Job, from_message
from warren.shares import Share
from warren.topology import Names
from warren.worker.assignment import Assignment
from warren.worker.conduct import CANCEL_SECONDS
from warren.worker.execution import Execution, Then
from warren.worker.intake import Intake
from warren.worker.plan import Plan
from warren.worker.read_ahead import ReadAhead
from warren.worker.settle import Settler

NAMES = Names("t")
QUEUE = NAMES.queue("default")


class FakeSession:
    """A session whose broker delivers what the test says, by the lane that the number of its place belongs to."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.lanes: dict[int, int] = {}
        self.closing: set[int] = set()
        self.settled: dict[Settle, list[int]] = {how: [] for how in Settle}
        self.arriving: list[Delivery] = []
        """Comes by a lane that is being closed."""
        self.may_close = asyncio.Event()
        self.may_close.set()
        self._consumers: dict[int, Callable[[Delivery], None]] = {}

    @property
    def alive(self) -> bool:
        return not self.lost.done()

    @property
    def width(self) -> int:
        return sum(self.lanes.values())

    @property
    def places(self) -> list[int]:
        """Of every job that may come, the lane it comes by; of those that are open."""
        open_ones = sorted(self.lanes.keys() & self._consumers.keys())
        return [lane for lane in open_ones for _ in range(self.lanes[lane])]

    def open_lanes(self, queue: str, widths: Mapping[int, int], on_delivery: Any) -> Coroutine[None, None, None]:
        assert queue == "default"
        self.lanes.update(widths)
        return self._consume(tuple(widths), on_delivery)

    async def _consume(self, lanes: Iterable[int], on_delivery: Any) -> None:
        for lane in lanes:
            self._consumers[lane] = partial(on_delivery, self, lane)

    async def close_lanes(self, lanes: Collection[int]) -> None:
        self.closing.update(lanes)
        await self.may_close.wait()
        while self.arriving and lanes:
            self._consumers[next(iter(lanes))](self.arriving.pop())
        for lane in lanes:
            self.lanes.pop(lane, None)
            self._consumers.pop(lane, None)
            self.closing.discard(lane)

    def deliver(self, place: int, number: int, delivery_count: int = 0, task: str = "m:f") -> None:
        self._consumers[self.places[place]](delivery(number, delivery_count, task))

    def settle(self, given: Delivery, how: Settle) -> bool:
        if self.alive:
            self.settled[how].append(given.tag)
        return self.alive


class FakeRunner:
    """Runs so many jobs at a time, until it is told that they end; and so many coroutines, those of the task `m:c`."""

    def __init__(self, processes: int, ahead: ReadAhead, places: int = 0) -> None:
        self.begun: list[str] = []
        self.told_to_end: list[float] = []
        self.taken_back = 0
        self.pool = self
        self._ahead = ahead
        self._free = {False: processes, True: places}
        self._waiting: list[tuple[Assignment, Execution, Job, Then]] = []
        self._running: dict[str, tuple[Execution, Then]] = {}

    def accept(self, message: Message, queue: str) -> Job:
        return from_message(message, queue, 0.0)

    def start(self, execution: Execution, job: Job, then: Then) -> Assignment:
        in_loop = job.task == "m:c"
        assignment = Assignment(cast("Any", job), b"", cast("Any", None), alone=False, in_loop=in_loop)
        self._waiting.append((assignment, execution, job, then))
        self._go_on()
        return assignment

    def take_back(self) -> None:
        """Nothing lies anywhere."""
        self.taken_back += 1

    def cancel(self, assignment: Assignment, grace: float) -> None:
        """As a pool: what has not begun never does; what runs ends when the test says so."""
        for waiting in self._waiting:
            if waiting[0] is assignment:
                self._waiting.remove(waiting)
                waiting[1].plan = Plan("cancelled", ())
                waiting[3](None)
                return
        self.told_to_end.append(grace)

    def end(self, number: int) -> None:
        execution, then = self._running.pop(str(number))
        self._free[execution.task == "m:c"] += 1
        self._ahead.entered(self._ahead.in_places - (execution.task == "m:c"))
        execution.plan = Plan("done", ())
        then(None)
        self._go_on()

    def _go_on(self) -> None:
        for waiting in tuple(self._waiting):
            assignment, execution, job, then = waiting
            if assignment.withdrawn:
                self._waiting.remove(waiting)
            elif self._free[assignment.in_loop]:
                self._waiting.remove(waiting)
                self._free[assignment.in_loop] -= 1
                self._ahead.entered(self._ahead.in_places + assignment.in_loop)
                execution.started = 1.0
                self.begun.append(job.id)
                self._running[job.id] = execution, then


class Scene:
    """An intake of some processes that expects very short jobs."""

    def __init__(self, *, most: int = 8, processes: int = 2, coroutines: int = 0) -> None:
        self.ahead = ReadAhead(processes, most)
        self.ahead.coroutines, self.ahead.mixed = coroutines, True
        self.ahead.took(0.0001)
        self.runner = FakeRunner(processes, self.ahead, processes * coroutines)
        settler = Settler(Events(), cast("Any", FakeOutlet()), deadline=5.0, doubt=90.0)
        self.paused: set[str] = set()
        self.intake = Intake(
            (Share("default"),),
            NAMES,
            cast("Any", self.runner),
            settler,
            self.ahead,
            is_paused=self.paused.__contains__,
        )

    async def session(self) -> FakeSession:
        session = FakeSession()
        await self.intake.open(cast("Any", session))
        return session

    def free(self, session: FakeSession) -> list[int]:
        """The places whose lanes have brought nothing that is still here."""
        occupied = {execution.lane for execution in self.intake._conduct.working}
        return [place for place, lane in enumerate(session.places) if lane not in occupied]


def delivery(number: int, delivery_count: int = 0, task: str = "m:f") -> Delivery:
    message = Message(
        b'{"task":"%b"}' % task.encode(), message_id=str(number), headers={"x-delivery-count": delivery_count}
    )
    return Delivery(message, QUEUE, "", "default", delivery_count > 0, number, None)


@scenario
async def test_each_process_has_a_lane_and_all_that_may_wait_comes_by_one_more() -> None:
    session = await Scene(most=8).session()
    assert session.lanes == {0: 1, 1: 1, 2: 8}


@scenario
async def test_without_read_ahead_there_is_a_lane_for_each_process() -> None:
    session = await Scene(most=0).session()
    assert session.lanes == {0: 1, 1: 1}


@scenario
async def test_what_cannot_begin_in_time_goes_back_and_its_lanes_are_closed_first() -> None:
    scene = Scene()
    session = await scene.session()
    session.arriving.append(delivery(99))
    for number in range(6):
        session.deliver(number, number)
    await eventually(lambda: len(session.settled[Settle.GIVE_BACK]) == 5)
    assert (scene.runner.begun, sorted(session.settled[Settle.GIVE_BACK])) == (["0", "1"], [2, 3, 4, 5, 99])
    assert session.lanes == {0: 1, 1: 1}
    assert scene.ahead.jobs == 0
    scene.runner.end(0)
    scene.runner.end(1)
    await eventually(lambda: sorted(session.settled[Settle.ACK]) == [0, 1])


@scenario
async def test_a_coroutine_job_that_has_no_place_goes_back_though_a_process_is_free_of_plain_jobs() -> None:
    scene = Scene(most=0, coroutines=2)
    session = await scene.session()
    for number in range(6):
        await eventually(lambda number=number: number < len(session.places))
        session.deliver(number, number, task="m:c")
    assert scene.runner.begun == ["0", "1", "2", "3"]
    await eventually(lambda: sorted(session.settled[Settle.GIVE_BACK]) == [4, 5])
    assert scene.intake.running == 4
    await eventually(lambda: len(scene.free(session)) == 2)
    session.deliver(scene.free(session)[0], 6)
    assert scene.runner.begun[4:] == ["6"], "for a plain job there is a process"


@scenario
async def test_a_coroutine_job_that_has_no_place_goes_back_from_beside_a_plain_job_that_runs() -> None:
    scene = Scene(most=0, coroutines=1)
    session = await scene.session()
    for number, task in enumerate(("m:c", "m:c", "m:f", "m:c")):
        await eventually(lambda number=number: number < len(session.places))
        session.deliver(number, number, task=task)
    assert scene.runner.begun == ["0", "1", "2"]
    await eventually(lambda: session.settled[Settle.GIVE_BACK] == [3])
    scene.runner.end(2)
    assert session.settled[Settle.ACK] == [2]


@scenario
async def test_however_closings_overlap_there_are_lanes_afterwards() -> None:
    scene = Scene()
    session = await scene.session()
    session.may_close.clear()
    for number in range(6):
        session.deliver(number, number)
    await eventually(lambda: session.closing == {2})
    scene.runner.end(0)
    scene.runner.end(1)
    await eventually(lambda: session.settled[Settle.ACK] == [0, 1])
    session.deliver(0, 10)
    session.deliver(1, 11)
    await eventually(lambda: session.closing == {0, 1, 2})
    for number in (2, 3, 4, 5, 10, 11):
        scene.runner.end(number)
    await eventually(lambda: scene.intake.running == 0)
    session.may_close.set()
    await eventually(lambda: list(session.lanes.values()) == [1, 1])


@scenario
async def test_a_job_near_its_delivery_limit_is_kept_until_it_can_run() -> None:
    scene = Scene()
    session = await scene.session()
    for number in range(4):
        session.deliver(number, number, delivery_count=10 if number == 3 else 0)
    await eventually(lambda: session.settled[Settle.GIVE_BACK] == [2])
    scene.runner.end(0)
    await eventually(lambda: scene.runner.begun == ["0", "1", "3"])
    assert session.settled[Settle.GIVE_BACK] == [2]


@scenario
async def test_waiting_jobs_of_a_lost_connection_never_begin() -> None:
    scene = Scene()
    session = await scene.session()
    for number in range(4):
        session.deliver(number, number)
    await eventually(lambda: scene.runner.begun == ["0", "1"])
    session.lost.set_result("gone")
    scene.intake.lost(cast("Any", session), "gone")
    await eventually(lambda: scene.intake.running == 2)
    scene.runner.end(0)
    scene.runner.end(1)
    await eventually(lambda: scene.intake.running == 0)
    assert scene.runner.begun == ["0", "1"]


@scenario
async def test_waiting_jobs_of_a_deleted_queue_are_run_because_nobody_else_has_them() -> None:
    scene = Scene()
    session = await scene.session()
    for number in range(3):
        session.deliver(number, number)
    session.lost.set_result(cancelled(QUEUE))
    scene.intake.lost(cast("Any", session), cancelled(QUEUE))
    scene.runner.end(0)
    await eventually(lambda: scene.runner.begun == ["0", "1", "2"])


@scenario
async def test_lanes_of_jobs_that_still_run_stay_closed_after_a_reconnect() -> None:
    scene = Scene(most=0)
    first = await scene.session()
    first.deliver(0, 0)
    await eventually(lambda: scene.runner.begun == ["0"])
    first.lost.set_result("gone")
    scene.intake.lost(cast("Any", first), "gone")
    second = await scene.session()
    assert list(second.lanes.values()) == [1]
    scene.runner.end(0)
    await eventually(lambda: list(second.lanes.values()) == [1, 1])


@scenario
async def test_idle_lanes_are_closed_when_far_fewer_are_wanted() -> None:
    scene = Scene()
    session = await scene.session()
    scene.ahead.wrong()
    session.deliver(9, 1)
    scene.runner.end(1)
    await eventually(lambda: len(session.lanes) == 2)


@scenario
async def test_a_drain_returns_what_waits_and_what_still_comes() -> None:
    scene = Scene()
    session = await scene.session()
    session.arriving.append(delivery(99))
    for number in range(4):
        session.deliver(number, number)
    await eventually(lambda: scene.runner.begun == ["0", "1"])
    hurry = asyncio.Event()
    draining = asyncio.create_task(scene.intake.drain(20.0, hurry))
    await eventually(lambda: sorted(session.settled[Settle.GIVE_BACK]) == [2, 3, 99])
    scene.runner.end(0)
    scene.runner.end(1)
    await draining
    assert sorted(session.settled[Settle.ACK]) == [0, 1]


@scenario
async def test_a_job_that_a_process_was_only_about_to_begin_is_returned_by_a_drain() -> None:
    scene = Scene()
    session = await scene.session()
    session.deliver(0, 0)
    (execution,) = scene.intake._conduct.working
    execution.started = 0.0  # what the pool says of one that it took back
    await scene.intake.drain(0.0, asyncio.Event())
    assert session.settled[Settle.GIVE_BACK] == [0]


@scenario
async def test_a_smaller_pool_takes_in_nothing_before_no_more_run_than_may() -> None:
    scene = Scene(most=0, processes=4)
    session = await scene.session()
    assert session.lanes == dict.fromkeys(range(4), 1)
    for number in range(4):
        session.deliver(number, number)
    scene.intake.resize(2)
    await eventually(lambda: session.lanes == {})
    scene.runner.end(0)
    scene.runner.end(1)
    await eventually(lambda: scene.intake.running == 2)
    assert session.lanes == {}
    scene.runner.end(2)
    await eventually(lambda: len(session.lanes) == 1)


@scenario
async def test_a_larger_pool_has_more_lanes_at_once() -> None:
    scene = Scene(most=0)
    session = await scene.session()
    scene.intake.resize(5)
    await eventually(lambda: session.lanes == dict.fromkeys(range(5), 1))


@scenario
async def test_coroutine_jobs_are_taken_only_for_processes_that_are_there() -> None:
    scene = Scene(most=0, processes=4)
    scene.ahead.coroutines, scene.ahead.mixed = 3, False
    scene.intake.usable(1)
    session = await scene.session()
    assert session.lanes == dict.fromkeys(range(3), 1)
    scene.intake.usable(4)
    await eventually(lambda: session.width == 12)
    scene.intake.usable(3)
    await eventually(lambda: session.width == 9)


@scenario
async def test_of_an_idle_pool_made_smaller_the_surplus_lanes_are_closed() -> None:
    scene = Scene(most=0, processes=5)
    session = await scene.session()
    session.deliver(4, 4)
    scene.intake.resize(2)
    await eventually(lambda: session.lanes == {0: 1, 4: 1})


async def eventually(condition: Callable[..., bool]) -> None:
    async def asked() -> bool:
        return condition()

    await eventually_async(asked)


@scenario
async def test_of_a_paused_queue_nothing_is_taken_what_runs_goes_on_and_what_waits_goes_back() -> None:
    scene = Scene(most=2)
    session = await scene.session()
    for number in range(4):
        session.deliver(number, number)
    assert scene.runner.begun == ["0", "1"]
    scene.paused.add("default")
    scene.intake.pauses_changed()
    await eventually_async(lambda: true_of(session.settled[Settle.GIVE_BACK] == [2, 3]))
    assert (session.lanes, scene.intake.running) == ({}, 2)
    scene.runner.end(0)
    await asyncio.sleep(0)
    assert (session.settled[Settle.ACK], session.lanes) == ([0], {})
    scene.paused.clear()
    scene.intake.pauses_changed()
    await eventually_async(lambda: true_of(len(session.lanes) >= 2))


@scenario
async def test_a_lane_that_is_about_to_open_when_its_queue_is_paused_does_not_stay_open() -> None:
    scene = Scene(most=0)
    session = await scene.session()
    session.deliver(0, 0)
    scene.intake.resize(3)  # a third lane opens in the next turn
    scene.paused.add("default")
    scene.intake.pauses_changed()
    for _ in range(10):
        await asyncio.sleep(0)
    assert session.lanes == {}
    scene.runner.end(0)
    await asyncio.sleep(0)
    assert session.lanes == {}


@scenario
async def test_a_session_that_opens_while_its_queue_is_paused_consumes_nothing() -> None:
    scene = Scene()
    scene.paused.add("default")
    session = await scene.session()
    assert session.lanes == {}
    scene.paused.clear()
    scene.intake.pauses_changed()
    await eventually_async(lambda: true_of(session.width == 10))


@scenario
async def test_a_cancelled_job_that_waits_ends_at_once_one_that_runs_is_told_to_and_others_go_on() -> None:
    scene = Scene(most=4)
    session = await scene.session()
    for number in range(5):
        session.deliver(number, number)
    held = scene.intake.cancel(lambda execution: execution.key[0] in {"0", "3", "9"})
    assert (held.running, held.withdrawn, held.ended, held.retried) == (("0",), ("3",), (), ())
    assert scene.runner.told_to_end == [CANCEL_SECONDS]
    assert session.settled[Settle.ACK] == [3]
    assert scene.intake.running == 4


@scenario
async def test_a_job_that_has_its_outcome_cannot_be_cancelled_any_more_unless_it_would_be_tried_again() -> None:
    scene = Scene(most=4)
    session = await scene.session()
    for number in range(2):
        session.deliver(number, number)
    for execution in scene.intake._conduct.working:
        execution.plan = Plan("done", ()) if execution.key[0] == "0" else Plan("retry", (), "", 3600.0)
    held = scene.intake.cancel(lambda _: True)
    assert (held.running, held.withdrawn, held.ended, held.retried) == ((), (), ("0",), ("1",))
    assert scene.runner.told_to_end == []


@scenario
async def test_a_cancellation_of_jobs_that_are_elsewhere_leaves_what_waits_here_alone() -> None:
    scene = Scene(most=4)
    session = await scene.session()
    for number in range(4):
        session.deliver(number, number)
    assert scene.intake.cancel(lambda _: False) == Held()
    assert scene.runner.taken_back == 0
