"""From an outcome to what is done about it: pure. Settling then does it, in one place, ending in exactly one ack."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from warren import dead_letter, delay, result
from warren.amqp.seam import Message
from warren.dead_letter import Evidence
from warren.job import Job, to_message
from warren.outcome import Cancelled, Crashed, Done, Expired, Failed, Failure, Outcome, Rejected, Retry
from warren.result import ItemFailure, Result
from warren.retry import crash_delay
from warren.states import JobState, advance
from warren.topology import Names
from warren.worker.chunk import Outcomes, in_parts, member, opened

_APART = 2
"""As if a lost job had killed its process so much more often: the wait is 2 to 4 s at first, then 4 to 8."""
MAX_CRASHES = 3
"""For a job whose task is not known here."""


class Publish(msgspec.Struct, frozen=True):
    """One message to be confirmed before the ack; `queue` is declared if it must be."""

    message: Message
    exchange: str
    routing_key: str
    mandatory: bool
    delayed: bool = False


class Buried(msgspec.Struct, frozen=True):
    """That a dead letter is among the publishes, and why."""

    reason: str
    detail: str


class Plan(msgspec.Struct, frozen=True):
    """What an execution comes to: publishes in order, then the ack."""

    outcome: str
    publishes: tuple[Publish, ...]
    detail: str = ""
    retry_in: float | None = None
    buried: Buried | None = None


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans for one worker.

    Attributes:
        worker: this worker's name, for the evidence.
        payload_limit: bytes a result may have.
        jitter: where randomness comes from.
    """

    names: Names
    worker: str
    payload_limit: int
    jitter: random.Random

    def single(self, job: Job, outcome: Outcome, max_crashes: int, now: float, seconds: float | None = None) -> Plan:
        """Plan for a plain job, or for a chunk that was never begun; `seconds` if it ran."""
        outcome = _in_time(job, self._fits(outcome), now)
        kind = outcome.__struct_config__.tag
        again = self._again(job, (outcome,), max_crashes, now)
        if again is not None:
            following, wait = again
            return Plan(str(kind), (self._retry(following, wait, now),), following.last_error, wait)
        state, why = _ends(outcome)
        publishes: list[Publish] = []
        buried = None
        if state is JobState.DEAD:
            reason, failure = _reason(outcome)
            charged = replace(job, crashes=job.crashes + isinstance(outcome, Crashed))
            publishes.append(self._dead(charged, reason, failure, outcome, now))
            buried = Buried(reason, str(failure))
        elif state is JobState.EXPIRED:
            failure = Failure("", why)
            publishes.append(self._dead(job, "expired", failure, outcome, now))
            buried = Buried("expired", why)
        if job.wants_result:
            # Last: whoever hears that a job is a dead letter can look at it.
            publishes.append(self._result(job, self._told(job, outcome, state, now, _since(now, seconds))))
        return Plan(str(kind), tuple(publishes), why, buried=buried)

    def chunk(self, job: Job, outcomes: Outcomes, max_crashes: int, now: float, seconds: float | None = None) -> Plan:
        """Plan for a chunk whose items all have an outcome: what is done is told, what failed alone goes on."""
        done, others = self._fitting(outcomes)
        others = {place: _in_time(job, one, now) for place, one in others.items()}
        retried = {place: one for place, one in others.items() if self._again(job, (one,), max_crashes, now)}
        without = {place: one for place, one in others.items() if place not in retried}
        dead = {place: one for place, one in without.items() if not isinstance(one, Cancelled)}
        publishes: list[Publish] = []
        buried = self._bury_items(job, dead, now, publishes)
        detail, wait = "", None
        again = self._again(job, retried.values(), max_crashes, now) if retried else None
        if again is not None:
            following, wait = again
            publishes.append(self._retry(_part(following, job, retried), wait, now))
            items = len(job.body.items or ())
            detail = f"{len(retried)} of {items} items will be retried: {following.last_error}"
        elif buried is not None:
            detail = buried.detail
        why = outcomes.cancelled_for if without and not retried and not dead else ""
        state, outcome = _chunk_ends(retried=bool(retried), dead=bool(dead), cancelled=bool(why))
        if job.wants_result:
            failed = {place: _item_failure(one) for place, one in without.items()}
            publishes += self._item_results(job, done, failed, (state, why), (now, _since(now, seconds)))
        return Plan(outcome, tuple(publishes), detail or why, wait, buried)

    def lost(self, job: Job, now: float) -> Plan:
        """Plan for a job with which a worker was lost, and which is charged with that already: the same attempt again.

        After a wait of some seconds, of which half is chance: one of the jobs that were lost together may have done it, and
        would take the others along again if they came back together.
        """
        wait = crash_delay(job.crashes + _APART, self.jitter)
        return Plan("crashed", (self._retry(job, wait, now),), retry_in=wait)

    def refused(self, message: Message, queue: str, reason: str, detail: str, now: float) -> Plan:
        """Plan for a message that is no job at all."""
        evidence = Evidence(reason, Failure("", detail), self.worker, now)
        buried = dead_letter.bury(message, queue, evidence, None)
        return Plan(
            "rejected", (Publish(buried, self.names.dead, queue, mandatory=True),), detail, None, Buried(reason, detail)
        )

    def _again(self, job: Job, outcomes: Iterable[Outcome], max_crashes: int, now: float) -> tuple[Job, float] | None:
        """The job's next attempt and the wait before it, when these outcomes mean that there is one."""
        waits: list[float] = []
        last, failed, crashed = "", False, False
        for outcome in outcomes:
            if isinstance(outcome, Retry):
                waits.append(outcome.delay)
                last, failed = str(outcome.failure), failed or outcome.counted
            elif isinstance(outcome, Crashed) and job.crashes + 1 < max_crashes and not _is_over(job, now):
                waits.append(crash_delay(job.crashes + 1, self.jitter))
                last, crashed = str(outcome), True
        if not waits:
            return None
        event = "crashed" if crashed else "retry"
        assert advance(JobState.RUNNING, event) is JobState.DELAYED
        return job.next_attempt(last, failed=failed, crashed=crashed), max(waits)

    def _retry(self, following: Job, wait: float, now: float) -> Publish:
        following = replace(following, ready_at=now + wait)
        if wait <= 0:
            return Publish(to_message(following), self.names.jobs, following.queue, mandatory=True)
        exchange, key = delay.route(self.names, following.queue, wait)
        message = replace(to_message(following), priority=None)
        return Publish(message, exchange, key, mandatory=True, delayed=True)

    def _bury_items(self, job: Job, dead: Mapping[int, Outcome], now: float, publishes: list[Publish]) -> Buried | None:
        """Items that failed for good become one dead letter, with the evidence of the first."""
        if not dead:
            return None
        outcome = next(iter(dead.values()))
        reason, failure = _reason(outcome)
        crashes = job.crashes + any(isinstance(one, Crashed) for one in dead.values())
        said = Failure(failure.type, f"{failure.message} ({len(dead)} items)", failure.traceback)
        publishes.append(self._dead(_part(replace(job, crashes=crashes), job, dead), reason, said, outcome, now))
        return Buried(reason, str(said))

    def _dead(self, job: Job, reason: str, failure: Failure, outcome: Outcome, now: float) -> Publish:
        crash = outcome if isinstance(outcome, Crashed) else Crashed(None, None)
        how = crash.signal, crash.exit_code, crash.max_rss, crash.output, crash.stack, crash.oom
        evidence = Evidence(reason, failure, self.worker, now, *how)
        message = dead_letter.bury(to_message(job), job.queue, evidence, job)
        return Publish(message, self.names.dead, job.queue, mandatory=True)

    def _result(self, job: Job, told: Result) -> Publish:
        message, key = result.to_message(told, job)
        return Publish(message, self.names.results, key, mandatory=False)

    def _told(self, job: Job, outcome: Outcome, state: JobState, now: float, started: float) -> Result:
        reason, failure = _reason(outcome)
        value = msgspec.Raw(outcome.result) if isinstance(outcome, Done) else msgspec.Raw(b"null")
        return Result(
            job.id,
            job.task,
            job.queue,
            state,
            job.attempt,
            now,
            self.worker,
            value,
            reason,
            failure.message,
            failure.type,
            failure.traceback,
            started_at=started,
            replays=job.replays,
        )

    def _item_results(
        self,
        job: Job,
        done: Iterable[bytes],
        failed: Mapping[int, ItemFailure],
        ends: tuple[JobState, str],
        times: tuple[float, float],
    ) -> Iterator[Publish]:
        (state, why), (now, started) = ends, times
        parts = list(in_parts(done, failed))
        for number, (items, others) in enumerate(parts, 1):
            state_now = state if number == len(parts) else JobState.RUNNING
            place = job.id, job.task, job.queue, state_now, job.attempt, now, self.worker
            told = Result(*place, reason=why, failed=others, started_at=started, replays=job.replays)
            message, key = result.to_message(told, job, items)
            yield Publish(message, self.names.results, key, mandatory=False)

    def _fitting(self, outcomes: Outcomes) -> tuple[list[bytes], dict[int, Outcome]]:
        """A chunk's outcomes, the values that are too large become failures."""
        fitting, others = [], dict(outcomes.others)
        for members in outcomes.done:
            if len(members) <= self.payload_limit:  # all of them together: the rule
                fitting.append(members)
                continue
            for place, value in opened(members).items():
                outcome = self._fits(Done(bytes(value)))
                if isinstance(outcome, Done):
                    fitting.append(member(place, outcome.result))
                else:
                    others[place] = outcome
        return fitting, others

    def _fits(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Done) and len(outcome.result) > self.payload_limit:
            said = (
                f"it returned {len(outcome.result):,} bytes and the limit is {self.payload_limit:,}: "
                "return a path or a URL instead of the data, or raise payload_limit"
            )
            return Failed(Failure("", said), reason="bad_result")
        return outcome


def _since(now: float, seconds: float | None) -> float:
    return 0.0 if seconds is None else now - seconds


def _part(following: Job, job: Job, items: Mapping[int, object]) -> Job:
    """The job reduced to these items of its chunk."""
    by_place = dict(zip(job.body.places(), job.body.items or (), strict=True))
    body = msgspec.structs.replace(job.body, items=[by_place[place] for place in items], indexes=list(items))
    return replace(following, body=body)


def _in_time(job: Job, outcome: Outcome, now: float) -> Outcome:
    """A retry that would begin after the job's deadline is none."""
    if isinstance(outcome, Retry) and _is_over(job, now + outcome.delay):
        return Failed(outcome.failure, reason="deadline")
    return outcome


def _is_over(job: Job, at: float) -> bool:
    return job.deadline_at is not None and at >= job.deadline_at


def _chunk_ends(*, retried: bool, dead: bool, cancelled: bool) -> tuple[JobState, str]:
    """The state of a chunk after an attempt, and what that is called."""
    if retried:
        return JobState.RUNNING, "retry"
    if dead:
        return advance(JobState.RUNNING, "failed"), "failed"
    if cancelled:
        return advance(JobState.RUNNING, "cancelled"), "cancelled"
    return advance(JobState.RUNNING, "done"), "done"


def _ends(outcome: Outcome) -> tuple[JobState, str]:
    """The final state, and why if it is not done."""
    match outcome:
        case Done():
            return advance(JobState.RUNNING, "done"), ""
        case Cancelled():
            return advance(JobState.RUNNING, "cancelled"), outcome.reason
        case Expired():
            return advance(JobState.QUEUED, "expired"), "its time was over before a worker could start it"
        case Crashed():
            return advance(JobState.RUNNING, "crashed too often"), str(outcome)
        case Rejected():
            return advance(JobState.QUEUED, "rejected"), outcome.detail
        case Failed():
            return advance(JobState.RUNNING, "failed"), str(outcome.failure)
        case Retry():
            raise AssertionError("a retry does not end a job")


def _reason(outcome: Outcome) -> tuple[str, Failure]:
    match outcome:
        case Failed():
            return outcome.reason, outcome.failure
        case Rejected():
            return outcome.reason, Failure("", outcome.detail)
        case Crashed():
            return "crashed", Failure("", str(outcome))
        case Cancelled():
            return outcome.reason, Failure("", outcome.reason)
        case Expired():
            return "expired", Failure("", "its time was over before a worker could start it")
        case _:
            return "", Failure("", "")


def _item_failure(outcome: Outcome) -> ItemFailure:
    reason, failure = _reason(outcome)
    return ItemFailure(failure.message or reason, failure.type, failure.traceback)
