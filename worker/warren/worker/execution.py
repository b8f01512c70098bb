"""One delivery's way through the worker: accept, run, plan. Settling is done elsewhere, once."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from warren.amqp.seam import Delivery, Message
from warren.clock import Clock
from warren.events import Events, JobEnded, JobInterrupted, JobLost, JobRefused, JobStarted
from warren.job import Job, Undecodable, encode_body, from_message
from warren.outcome import Cancelled, Crashed, Expired, Outcome, Rejected, label
from warren.worker.assignment import Assignment
from warren.worker.blame import is_ours, is_suspicious
from warren.worker.fanout import Chunk, Interrupted, Pace, run_chunk
from warren.worker.frames import Ended, Run, TaskInfo
from warren.worker.losses import LEAST_LOSSES, charged, told, was_lost
from warren.worker.plan import MAX_CRASHES, Plan, Planner
from warren.worker.pool import Pool
from warren.worker.read_ahead import ReadAhead
from warren.worker.session import Session
from warren.worker.tombstones import Tombstones

_CLEAN_UP_SECONDS = 5.0
"""After its deadline, for a task that does not end by the exception."""
Key = tuple[str, int, int, int]
Then = Callable[[Exception | None], None]
"""Called when an execution has its plan; or with why it has none."""


@dataclass(eq=False, slots=True)
class Execution:
    """A job in this worker's hands, from its delivery to its ack. Owned by the worker's loop.

    Attributes:
        session, delivery: the newest: after a reconnect the broker hands the job out again.
        lane: the consumer it came by.
        key: tells it from any other, as long as this process lives.
        started: when a process first had it, by the monotonic clock; 0 before.
        plan: what it came to, once it has ended.
        published: how many of the plan's publishes are confirmed.
        sent: the confirm of the next one, once that is written: while it may still come, nothing is written twice.
        orphaned: its queue was deleted under it: there is nothing left to ack, and no redelivery to wait for.
        chunk: its items, while they run.
        spared: it was here before and had not begun when its connection was lost: that is not its doing.
    """

    session: Session
    delivery: Delivery
    lane: int
    key: Key
    queue: str
    task: str = ""
    started: float = 0.0
    plan: Plan | None = None
    published: int = 0
    sent: asyncio.Future[None] | None = None
    orphaned: bool = False
    chunk: Chunk | None = None
    spared: bool = False


def key_of(job: Job, message: Message) -> Key:
    """What tells one execution of one message from any other, as long as this process lives."""
    return (*job.key, hash(message.body))


@dataclass(frozen=True, slots=True)
class Runner:
    """Brings executions from their job to their plan."""

    pool: Pool
    planner: Planner
    events: Events
    clock: Clock
    payload_limit: int
    ahead: ReadAhead
    tombstones: Tombstones = field(default_factory=Tombstones)
    paces: dict[str, Pace] = field(default_factory=dict)
    """Of the tasks that came in chunks."""

    def accept(self, message: Message, queue: str) -> Job | Plan:
        """Return the message's job, or what to do with a message that is none; never raises, whatever came."""
        if len(message.body) > self.payload_limit:
            size = f"{len(message.body):,} bytes, and the limit is {self.payload_limit:,} (payload_limit)"
            return self._refuse(message, queue, "too_large", f"the message is {size}")
        try:
            return from_message(message, queue, self.clock())
        except Undecodable as error:
            return self._refuse(message, queue, error.reason, error.detail)
        except Exception as error:  # noqa: BLE001 - called from a client library's callback, and anybody writes messages
            return self._refuse(message, queue, "undecodable", f"{type(error).__name__}: {error}")

    def start(self, execution: Execution, job: Job, then: Then) -> Assignment | None:
        """Have a plain job run and planned; returns what can be withdrawn until it has begun, if it is to run at all."""
        info = self._runnable(execution, job)
        if info is None:
            then(None)
            return None
        run = _run_of(job, execution.delivery.message.body, self.clock())
        work = _Single(self, execution, job, info, then)
        return self.pool.submit(run, work, kill_after=info.kill_after, kill_at=_last_moment(job, self.clock()))

    async def run_chunk(self, execution: Execution, job: Job) -> None:
        """Run a chunk's items and plan what follows.

        Raises:
            Interrupted: the worker stops.
        """
        info = self._runnable(execution, job)
        if info is None:
            return
        body = encode_body(msgspec.structs.replace(job.body, items=None, indexes=None))
        pace = self.paces.setdefault(job.task, Pace())
        execution.chunk = chunk = Chunk(
            _run_of(job, body, self.clock()), job.body, pace, _last_moment(job, self.clock())
        )
        try:
            outcomes = await run_chunk(self.pool, chunk, info, lambda: self.started(execution, job))
        except (Interrupted, asyncio.CancelledError):
            self.returned(execution, job)
            raise
        finally:
            execution.chunk = None
        stones = self.tombstones
        outcomes.others = {place: stones.outcome_of(job, one) for place, one in outcomes.others.items()}
        if stones.any and (stone := stones.of(job)) is not None:
            outcomes.cancelled_for = stone.reason
        seconds = time.monotonic() - execution.started
        plan = self.planner.chunk(job, outcomes, info.max_crashes, self.clock(), seconds if execution.started else None)
        self.ended(execution, job, plan, seconds, waits=not info.is_coroutine)

    def started(self, execution: Execution, job: Job) -> None:
        """Take note that a process begins a job."""
        if not execution.started:
            execution.started = time.monotonic()
            waited = max(0.0, self.clock() - job.ready_at)
            self.events.emit(JobStarted(job.id, job.task, job.queue, job.attempt, waited, job.replays))

    def returned(self, execution: Execution, job: Job) -> None:
        """Take note that no process has begun a job, or that it was interrupted."""
        if execution.started:
            execution.started = 0.0
            self.events.emit(JobInterrupted(job.id, job.task, job.queue, job.attempt, job.replays))

    def ended(self, execution: Execution, job: Job, plan: Plan, seconds: float, *, waits: bool = True) -> None:
        """Take note what a job came to; `waits` when others had to wait for it."""
        execution.plan = plan
        if not execution.started:
            # Cancelled while it waited here.
            self._refused(job, plan.outcome, plan.outcome, plan.detail)
            return
        if waits:
            self.ahead.took(seconds)
        self.events.emit(
            JobEnded(
                job.id,
                job.task,
                job.queue,
                job.attempt,
                plan.outcome,
                seconds,
                plan.detail,
                plan.retry_in,
                job.replays,
                job.wants_result,
            )
        )

    def _refused(self, job: Job, outcome: str, reason: str, detail: str) -> None:
        known = job.id, job.task, job.queue
        self.events.emit(JobRefused(*known, outcome, reason, detail, job.attempt, job.replays, job.wants_result))

    def _runnable(self, execution: Execution, job: Job) -> TaskInfo | None:
        """Return what must be known of the task, or None when the job is not to be run; its plan is made then."""
        info = self.pool.tasks.get(job.task)
        info = _limited(info, job) if info is not None else None
        lost = was_lost(execution.delivery) and not execution.spared
        job = charged(job) if lost else job
        refusal = self._refusal(job, info, lost=lost)
        if refusal is None and lost:
            self.events.emit(JobLost(job.id, job.task, job.queue, job.crashes, job.attempt, job.replays))
            execution.plan = self.planner.lost(job, self.clock())
            return None
        if refusal is None and info is not None:
            return info
        outcome = refusal or Rejected("unknown_task", job.task)
        reason = outcome.reason if isinstance(outcome, Rejected) else label(outcome)
        execution.plan = self.plan(job, outcome, MAX_CRASHES)
        self._refused(job, label(outcome), reason, execution.plan.detail)
        return None

    def plan(self, job: Job, outcome: Outcome, max_crashes: int, seconds: float | None = None) -> Plan:
        """Return what follows for a job that is no chunk, or for a chunk that never began; `seconds` if it ran."""
        if isinstance(outcome, Cancelled) and self.tombstones.is_told(job):
            job = msgspec.structs.replace(job, wants_result=False)
        return self.planner.single(job, outcome, max_crashes, self.clock(), seconds)

    def _refusal(self, job: Job, info: TaskInfo | None, *, lost: bool) -> Outcome | None:
        if self.tombstones.any and (stone := self.tombstones.of(job)) is not None:
            return Cancelled(stone.reason)
        if info is None:
            known = ", ".join(sorted(self.pool.tasks)[:20])
            return Rejected("unknown_task", f"this worker has no task {job.task!r:.200}; it has: {known}")
        now = self.clock()
        if _is_over(job.expires_at, now) or _is_over(job.deadline_at, now):
            # What has been tried and failed did not expire unseen: as if it had been known that there was no time to retry.
            return Rejected("deadline", job.last_error or "no time was left for a retry") if job.failures else Expired()
        if lost and job.crashes >= max(info.max_crashes, LEAST_LOSSES):
            return Rejected("crashed", told(job))
        return None

    def _refuse(self, message: Message, queue: str, reason: str, detail: str) -> Plan:
        plan = self.planner.refused(message, queue, reason, detail, self.clock())
        job_id = plan.publishes[0].message.message_id or ""
        self.events.emit(JobRefused(job_id, "", queue, "rejected", reason, detail, has_result=False))
        return plan


@dataclass(slots=True, eq=False)
class _Single:
    """A job that is no chunk while it is run."""

    runner: Runner
    execution: Execution
    job: Job
    info: TaskInfo
    then: Then
    last: Ended | None = None

    def started(self) -> None:
        self.runner.started(self.execution, self.job)

    def ended(self, message: Ended) -> None:
        self.last = message

    def returned(self) -> None:
        self.runner.returned(self.execution, self.job)

    def over(self, crash: Crashed | None) -> None:
        try:
            self._plan(crash)
        except Exception as error:  # noqa: BLE001 - Interrupted, or a bug, which is the owner's to tell
            self.returned()
            self.then(error)
        else:
            self.then(None)

    def _plan(self, crash: Crashed | None) -> None:
        runner, job, last = self.runner, self.job, self.last
        if last is not None:
            outcome, seconds = last.outcome, last.seconds
        else:
            assert crash is not None
            if is_ours(crash):
                raise Interrupted(suspect=is_suspicious(crash))
            outcome, seconds = crash, time.monotonic() - self.execution.started
        outcome = runner.tombstones.outcome_of(job, outcome)
        plan = runner.plan(job, outcome, self.info.max_crashes, seconds if self.execution.started else None)
        runner.ended(self.execution, job, plan, seconds, waits=not self.info.is_coroutine)


def _limited(info: TaskInfo, job: Job) -> TaskInfo:
    """What the parent must know of the task, with this call's own limits."""
    if job.limits is not None:
        crashes, kill = job.limits.max_crashes, job.limits.kill_after
        info = msgspec.structs.replace(
            info,
            max_crashes=info.max_crashes if crashes is None else crashes,
            kill_after=info.kill_after if kill is None else kill or None,
        )
    return info


def _is_over(end: float | None, now: float) -> bool:
    return end is not None and now > end


def _last_moment(job: Job, now: float) -> float:
    """When it must have ended whatever it does, by the monotonic clock; infinite without a deadline."""
    if job.deadline_at is None:
        return math.inf
    return time.monotonic() + job.deadline_at - now + _CLEAN_UP_SECONDS


def _run_of(job: Job, body: bytes, now: float) -> Run:
    return Run(
        job.id,
        job.task,
        job.queue,
        job.attempt,
        job.failures,
        job.last_error,
        max(0.0, now - job.first_ready_at),
        body,
        limits=job.limits,
        deadline=job.deadline_at,
        replays=job.replays,
    )
