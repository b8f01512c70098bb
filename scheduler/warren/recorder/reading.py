"""From the messages of the history stream to facts: pure. Anybody publishes jobs, so nothing is trusted."""

from collections.abc import Callable, Sequence

import msgspec

from warren import dead_letter, result, telling
from warren.amqp.seam import Delivery, Message
from warren.dead_letter import DeadLetter
from warren.job import Job, Undecodable, from_message
from warren.states import JobState
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, GivenBack, ItemsEnded, Progressed, Started
from warren.store.merging import PAYLOAD_LENGTH, cut
from warren.telling import AnyNews, Began, Finished, Interrupted, Lost, Reached, Refused
from warren.topology import DELAY_LEVELS, Names

_UNHELD = "unheld"
_STATES = {"done": JobState.DONE, "cancelled": JobState.CANCELLED, "expired": JobState.EXPIRED}
"""Of outcomes that end a job; by any other it is dead."""
_OF_BROKER = "warren-dead-reason"


class NotUnderstood(Exception):
    """A message that says nothing known here."""


class _Payload(msgspec.Struct):
    args: list[msgspec.Raw]
    kwargs: dict[str, msgspec.Raw]


class Reading:
    """Reads the messages of one namespace.

    Args:
        names: of the namespace; by its exchange a message tells what it is.
    """

    def __init__(self, names: Names) -> None:
        self._delay = f"{names.namespace}.delay."
        self._of: dict[str, Callable[[Delivery, float], Sequence[Fact]]] = {
            names.jobs: _of_job,
            names.results: _of_result,
            names.history.events: _of_news,
            names.dead: _of_dead,
            names.delay_out: _of_dead,
        }

    def facts(self, delivery: Delivery, now: float) -> Sequence[Fact]:
        """Return what a message tells.

        Args:
            delivery: of the stream.
            now: for what it does not date, seconds since the epoch.

        Raises:
            NotUnderstood: it is none of ours.
        """
        read = self._of.get(delivery.exchange)
        if read is None and delivery.exchange.startswith(self._delay):
            read = _of_delayed
        if read is None:
            raise NotUnderstood(f"it came by the exchange {delivery.exchange!r:.120}")
        return read(delivery, now)


def _of_job(delivery: Delivery, now: float) -> Sequence[Fact]:
    return _enqueued(delivery.message, delivery.routing_key, now)


def _of_delayed(delivery: Delivery, now: float) -> Sequence[Fact]:
    words = delivery.routing_key.split(".", DELAY_LEVELS)
    if len(words) <= DELAY_LEVELS:
        raise NotUnderstood(f"its routing key {delivery.routing_key!r:.120} is none of a delay")
    return _enqueued(delivery.message, words[-1], now)


def _enqueued(message: Message, queue: str, now: float) -> Sequence[Fact]:
    if message.message_id is None:
        return ()  # it gets its id when a worker sees it; what it comes to is told by that
    try:
        job = from_message(message, queue, now)
    except Undecodable:
        return ()  # a worker refuses it, and tells
    return (_fact_of(job),)


def _fact_of(job: Job) -> Enqueued:
    body = job.body
    return Enqueued(
        job.id,
        body.task,
        job.queue,
        job.replays,
        job.attempt,
        job.enqueued_at,
        job.ready_at,
        cut(msgspec.json.encode(_Payload(body.args, body.kwargs)).decode(), PAYLOAD_LENGTH),  # many wait to be written
        None if body.items is None else len(body.items),
        job.priority,
        job.failures,
        job.crashes,
        job.last_error,
        job.workflow,
        job.node,
    )


def _of_result(delivery: Delivery, now: float) -> Sequence[Fact]:  # noqa: ARG001 - a result is dated
    told = result.from_message(delivery.message)
    if told is None:
        if delivery.message.type == _UNHELD:
            return ()
        raise NotUnderstood("it is no result")
    items, failed = told.items or {}, told.failed or {}
    where = told.id, told.task, told.queue, told.replays, told.attempt, told.finished_at
    if told.state is JobState.RUNNING:
        return (ItemsEnded(*where, items, failed),)
    if told.state not in _STATES.values() and told.state is not JobState.DEAD:
        raise NotUnderstood(f"a result of state {told.state.value!r}")
    value = bytes(told.value).decode() if told.state is JobState.DONE and told.items is None else None
    return (
        Ended(
            *where,
            told.state,
            told.worker,
            value,
            told.reason,
            told.error,
            told.error_type,
            told.traceback,
            told.started_at or None,
            items,
            failed,
        ),
    )


def _of_news(delivery: Delivery, now: float) -> Sequence[Fact]:  # noqa: ARG001 - news are dated
    bulletin = telling.from_message(delivery.message)
    if bulletin is None:
        raise NotUnderstood("it is no list of events")
    return [_fact_of_news(news, bulletin.worker) for news in bulletin.events]


def _fact_of_news(news: AnyNews, worker: str) -> Fact:
    where = news.id, news.task, news.queue, news.replays, news.attempt, news.at
    match news:
        case Began():
            return Started(*where, worker)
        case Reached():
            return Progressed(*where, news.done, news.total)
        case Interrupted():
            return GivenBack(*where, worker)
        case Lost():
            return GivenBack(*where, worker, "lost", news.crashes)
        case Refused():
            return Ended(*where, _STATES.get(news.outcome, JobState.DEAD), worker, None, news.reason, news.detail)
        case Finished():
            return _fact_of_end(news, worker)


def _fact_of_end(news: Finished, worker: str) -> Fact:
    where = news.id, news.task, news.queue, news.replays, news.attempt, news.at
    started = news.at - news.seconds
    if news.retry_in is not None:
        return AttemptEnded(*where, worker, news.outcome, news.detail, started, news.at + news.retry_in)
    state = _STATES.get(news.outcome, JobState.DEAD)
    reason = news.outcome if state is JobState.DEAD else news.detail
    error = news.detail if state is JobState.DEAD else ""
    return Ended(*where, state, worker, None, reason, error, started_at=started)


def _of_dead(delivery: Delivery, now: float) -> Sequence[Fact]:
    """Of dead letters only those of which nobody else tells: the broker's own, and of jobs that publish no result."""
    message = delivery.message
    by_broker = _OF_BROKER not in message.headers
    dead = dead_letter.read(message, delivery.routing_key, now)
    if message.message_id is None or not (by_broker or _is_last_word(dead)):
        return ()
    state = JobState.EXPIRED if dead.reason == "expired" else JobState.DEAD
    at = now if dead.died_at is None else dead.died_at
    attempt = dead.job.attempt if dead.job else dead.attempts
    return (
        Ended(
            dead.id,
            dead.task,
            dead.queue,
            dead.replays,
            attempt,
            at,
            state,
            dead.worker,
            None,
            dead.reason,
            dead.error,
            dead.error_type,
            dead.traceback,
        ),
    )


def _is_last_word(dead: DeadLetter) -> bool:
    """Whether a worker's dead letter ends a job that has no result; items of a chunk that failed do not end it."""
    return dead.job is not None and not dead.job.wants_result and dead.items is None
