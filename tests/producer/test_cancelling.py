"""Cancelling from a producer: never more is claimed than is known; whoever waits hears at once; tombstones stand."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.producer.hands import NAMES, NOW, Hands, done, double, ended, nothing, published_while_away, settings, silent
from tests.support import eventually

from warren import control, topology
from warren.amqp import memory
from warren.amqp.seam import Delivery, Message, Settle, StreamFrom, StreamStart
from warren.control import CancelJobs, CancelTask, Command, Held, PauseQueue, Reply, ResultsTold
from warren.errors import BrokerBlocked, JobCancelled, MapFailed, ResultError, ResultTimeout, WrongUse
from warren.job import Job, new_id
from warren.producer import AsyncProducer, Cancellation, Producer
from warren.producer.cancelling import gathered, judge
from warren.producer.io_thread import IoThread
from warren.producer.listening import beginning
from warren.states import FINAL, JobState

SILENCE = 0.05


class Answerer:
    """A worker by hand that hears commands, and answers as the test says; it keeps what it heard."""

    def __init__(self, broker: str, answer: Callable[[Command], msgspec.Struct | None], name: str = "w1") -> None:
        self.heard: list[Command] = []
        self._url, self._answer, self._name = f"memory://{broker}", answer, name
        self._io = IoThread("answerer")

    def __enter__(self) -> Self:
        self._io.call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._io.call(self._connection.close())
        self._io.stop()

    async def _open(self) -> None:
        connection = self._connection = await memory.connect(self._url)
        await connection.declare(*topology.base(NAMES), *topology.hearing(NAMES, self._name))
        await connection.consume(NAMES.hears(self._name), self._hear, no_ack=True)

    def _hear(self, delivery: Delivery) -> None:
        command = control.command_of(delivery.message)
        self.heard.append(command)
        answer = self._answer(command)
        if answer is not None and delivery.message.reply_to:
            message, key = control.reply_message(delivery.message, self._name, answer, 0.0)
            self._connection.publish(message, NAMES.control, key, mandatory=False)


def kept(broker: str, stream: str, until: int) -> list[Message]:
    """What is in a stream, when so many messages are."""

    async def reading() -> list[Message]:
        connection = await memory.connect(f"memory://{broker}")
        found: list[Message] = []
        enough = asyncio.Event()

        def take(delivery: Delivery) -> None:
            connection.settle(delivery, Settle.ACK)
            found.append(delivery.message)
            if len(found) >= until:
                enough.set()

        await connection.consume(stream, take, prefetch=50, offset=StreamStart.FIRST)
        await asyncio.wait_for(enough.wait(), 30)
        await connection.close()
        return found

    return asyncio.run(reading())


def commands(broker: str, until: int) -> list[Command]:
    return [control.command_of(message) for message in kept(broker, NAMES.control, until)]


@pytest.fixture
def idle(memory_broker: str) -> Iterator[Hands]:
    with Hands(memory_broker, nothing) as worker:
        yield worker


# --- what is known ---------------------------------------------------------------------------------------------------

ids = st.sampled_from(["a", "b", "c"])
some = st.frozensets(ids).map(lambda found: tuple(sorted(found)))
helds = st.builds(Held, some, some, some, some)


@hypothesis_settings(deadline=None, derandomize=True, database=None)
@given(ids, helds, st.booleans(), st.sampled_from([None, *sorted(FINAL)]))
def test_never_more_is_claimed_than_is_known(job_id: str, held: Held, enqueued: bool, final: JobState | None) -> None:
    answer = judge(job_id, held, enqueued=enqueued, final=final)
    here = {name for name in Held.__struct_fields__ if job_id in getattr(held, name)}
    assert (answer is Cancellation.CANCELLING) == ("running" in here)
    if answer is Cancellation.ALREADY_DONE:
        assert final is not None or "ended" in here
    if answer is Cancellation.CANCELLED:
        assert enqueued or here & {"withdrawn", "retried"} or final is JobState.CANCELLED
        assert final in {None, JobState.CANCELLED}
    if answer is Cancellation.UNKNOWN:
        assert not here
        assert not enqueued
        assert final is None


@hypothesis_settings(deadline=None, derandomize=True, database=None)
@given(st.lists(helds))
def test_what_all_workers_have_is_put_together(found: list[Held]) -> None:
    together = gathered(Reply(str(n), msgspec.Raw(msgspec.json.encode(held))) for n, held in enumerate(found))
    for name in Held.__struct_fields__:
        assert set(getattr(together, name)) == {job_id for held in found for job_id in getattr(held, name)}


def test_an_answer_of_another_version_says_nothing() -> None:
    assert gathered([Reply("w", msgspec.Raw(b"42"))]) == Held()


# --- a job that waits ------------------------------------------------------------------------------------------------


def test_a_job_that_waits_is_cancelled_and_whoever_waits_hears_at_once(
    memory_broker: str, producer: Producer, idle: Hands
) -> None:
    handle = producer.enqueue(double, 21)
    assert handle.cancel(SILENCE, reason="not needed") is Cancellation.CANCELLED
    with pytest.raises(JobCancelled, match="not needed"):
        handle.result(0)
    said = commands(memory_broker, 2)
    assert isinstance(said[0], CancelJobs)
    assert said[0].ids == (handle.id,)
    assert said[1] == ResultsTold((handle.id,))
    (told,) = kept(memory_broker, NAMES.results, 1)
    assert (told.correlation_id, told.type) == (handle.id, "cancelled")


def test_it_can_be_cancelled_again_and_then_had_ended_already(producer: Producer, idle: Hands) -> None:
    handle = producer.enqueue(double, 21)
    handle.cancel(SILENCE)
    assert handle.cancel(SILENCE) is Cancellation.ALREADY_DONE
    assert producer.cancel(handle.id, timeout=SILENCE) is Cancellation.ALREADY_DONE


def test_by_its_id_it_is_as_well_known_to_the_producer_that_enqueued_it(producer: Producer, idle: Hands) -> None:
    handle = producer.enqueue(double, 21)
    assert producer.cancel(handle.id, timeout=SILENCE) is Cancellation.CANCELLED
    with pytest.raises(JobCancelled):
        handle.result(0)


def test_cancelled_by_somebody_who_knows_nothing_of_it_the_one_who_waits_hears_at_once_all_the_same(
    memory_broker: str, producer: Producer, idle: Hands
) -> None:
    handle = producer.enqueue(double, 21)
    with Producer(settings(memory_broker)) as elsewhere:
        assert elsewhere.cancel(handle.id, timeout=SILENCE, reason="why not") is Cancellation.UNKNOWN
    with pytest.raises(JobCancelled, match="why not"):
        handle.result(30)


def test_of_a_job_that_publishes_no_result_nothing_is_known(producer: Producer, idle: Hands) -> None:
    assert producer.enqueue(silent, "x").cancel(SILENCE) is Cancellation.UNKNOWN


def test_all_chunks_of_a_map_are_cancelled_together(producer: Producer, idle: Hands) -> None:
    handle = producer.map(double, range(6), chunk=2)
    assert handle.cancel(SILENCE, reason="enough") == dict.fromkeys(handle.ids, Cancellation.CANCELLED)
    with pytest.raises(MapFailed, match="enough") as failed:
        handle.results(0)
    assert len(failed.value.failed) == 6


def test_items_that_are_done_keep_their_results(memory_broker: str, producer: Producer) -> None:
    def first(job: Job) -> Any:
        return ended(job, JobState.RUNNING, items={0: msgspec.Raw(b"0")})

    with Hands(memory_broker, first):
        handle = producer.map(double, range(2), chunk=2)
        eventually(lambda: handle.progress == (1, 2))
        assert list(handle.cancel(SILENCE).values()) == [Cancellation.CANCELLED]
    with pytest.raises(MapFailed) as failed:
        handle.results(0)
    assert failed.value.results == [0, None]


# --- a job that a worker has -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        ("running", Cancellation.CANCELLING),
        ("withdrawn", Cancellation.CANCELLED),
        ("retried", Cancellation.CANCELLED),
        ("ended", Cancellation.ALREADY_DONE),
    ],
)
def test_a_worker_that_has_it_decides_at_once(
    memory_broker: str, producer: Producer, idle: Hands, where: str, answer: Cancellation
) -> None:
    handle = producer.enqueue(double, 21)
    with (
        Answerer(memory_broker, lambda _: Held(), "other"),
        Answerer(memory_broker, lambda _: Held(**{where: (handle.id,)})),
    ):
        assert handle.cancel(300) is answer  # nobody waits for so long
    if where == "retried":
        with pytest.raises(JobCancelled):
            handle.result(0)
    else:
        with pytest.raises(ResultTimeout):  # its worker tells what became of it
            handle.result(0)


def test_workers_are_not_asked_about_what_has_ended(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker), Answerer(memory_broker, lambda _: Held()) as worker:
        handle = producer.enqueue(double, 21)
        assert handle.result(30) == 42
        assert handle.cancel(SILENCE) is Cancellation.ALREADY_DONE
        with Producer(settings(memory_broker)) as elsewhere:
            assert elsewhere.cancel(handle.id, timeout=SILENCE) is Cancellation.ALREADY_DONE
        assert worker.heard == []


def test_several_are_cancelled_together_each_with_its_answer(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker, lambda job: done(job, 1) if b"[1]" in msgspec.json.encode(job.body.args) else None):
        ready, waits, nobody = producer.enqueue(double, 1), producer.enqueue(double, 2), new_id()
        ready.result(30)
        answers = producer.cancel_many([ready.id, waits.id, nobody], timeout=SILENCE)
    assert answers == {
        ready.id: Cancellation.ALREADY_DONE,
        waits.id: Cancellation.CANCELLED,
        nobody: Cancellation.UNKNOWN,
    }


def test_of_a_task_it_is_told_what_workers_had(memory_broker: str, producer: Producer) -> None:
    with Answerer(memory_broker, lambda _: Held(running=("a",), withdrawn=("b", "c"))) as worker:
        told = producer.cancel_task(double, timeout=0.5)
        assert (told.workers, told.running, told.withdrawn) == (1, ("a",), ("b", "c"))
        (said,) = worker.heard
        assert isinstance(said, CancelTask)
        assert (said.task, said.at) == (double.name, told.before)


# --- when the broker is not as it should be ----------------------------------------------------------------------------


def test_a_tombstone_that_the_broker_does_not_take_is_an_error(memory_broker: str) -> None:
    with Producer(settings(memory_broker, publish_timeout=0.5)) as producer, _blocked(memory_broker):
        handle = producer.handle(new_id())
        with pytest.raises(BrokerBlocked):
            handle.cancel(0)


@contextmanager
def _blocked(broker: str) -> Iterator[None]:
    memory.block(broker, on=True)
    yield
    memory.block(broker, on=False)


def test_a_connection_lost_meanwhile_is_rebuilt_and_the_tombstone_said_again(
    memory_broker: str, producer: Producer, idle: Hands
) -> None:
    lost: list[Command] = []

    def lose_it(command: Command) -> Held:
        if not lost and isinstance(command, CancelJobs):
            lost.append(command)
            memory.drop(memory_broker)
        return Held()

    handle = producer.enqueue(double, 21)
    with Answerer(memory_broker, lose_it):
        assert handle.cancel(SILENCE) is Cancellation.CANCELLED
    assert lost


def test_of_a_job_that_may_have_ended_unheard_nothing_is_claimed_where_the_results_cannot_be_read(
    memory_broker: str, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unread(*_: object) -> Any:
        asked_before.append(len(worker.heard))
        raise ResultError("too many of them")

    asked_before: list[int] = []
    with Hands(memory_broker, nothing) as hands:
        handle = producer.enqueue(double, 21)
        (job,) = hands.took(1)
        published_while_away(memory_broker, done(job, 42), job)
    with monkeypatch.context() as patching, Answerer(memory_broker, lambda _: Held()) as worker:
        patching.setattr(producer._host.client._listener, "find_all", unread)
        assert handle.cancel(SILENCE) is Cancellation.UNKNOWN
        assert asked_before == [1], "the tombstone stands before anybody looks whether the job has ended"
        assert handle._slot.result is None
    assert handle.result(30) == 42
    assert len(kept(memory_broker, NAMES.results, 2)) == 2, "the result, and that nobody holds the job"


def test_of_a_job_that_ended_unheard_the_result_that_is_kept_tells(memory_broker: str, producer: Producer) -> None:
    with Hands(memory_broker, nothing) as hands:
        handle = producer.enqueue(double, 21)
        (job,) = hands.took(1)
        published_while_away(memory_broker, done(job, 42), job)
    assert handle.cancel(SILENCE) is Cancellation.ALREADY_DONE
    assert handle.result(0) == 42


def test_a_job_that_may_have_ended_unheard_does_not_end_because_somebody_else_says_that_nobody_holds_it(
    memory_broker: str, producer: Producer
) -> None:
    with Hands(memory_broker, nothing):
        handle = producer.enqueue(double, 21)
        memory.drop(memory_broker)
    producer.enqueue(double, 1)  # which connects anew
    heard = producer.enqueue(double, 2)
    with Producer(settings(memory_broker)) as elsewhere:
        elsewhere.cancel_many([handle.id, heard.id], timeout=SILENCE)
    with pytest.raises(JobCancelled):
        heard.result(30)
    with pytest.raises(ResultTimeout):
        handle.result(SILENCE)


@pytest.mark.parametrize(("job_id", "reason"), [("\udcff", "why"), ("an-id", "\udcff")])
def test_what_is_no_text_is_refused_before_anything_is_sent(producer: Producer, job_id: str, reason: str) -> None:
    with pytest.raises(WrongUse, match="no text in UTF-8"):
        producer.cancel(job_id, timeout=SILENCE, reason=reason)
    with pytest.raises(WrongUse, match="no text in UTF-8"):
        producer.cancel_task(job_id, timeout=SILENCE, reason=reason)


@pytest.mark.parametrize(
    ("job_id", "start"),
    [
        ("018bcfe5-6800-7000-8000-000000000000", StreamFrom(1_699_999_999)),
        ("00000000-0000-7fff-8fff-ffffffffffff", StreamStart.FIRST),
        ("ffffffff-ffff-7fff-8fff-ffffffffffff", StreamStart.FIRST),
        ("018bd50b-c400-7000-8000-000000000000", StreamFrom(1_700_086_399)),
        ("018bd50b-c7e8-7000-8000-000000000000", StreamStart.FIRST),
        ("by hand", StreamStart.FIRST),
    ],
)
def test_results_are_looked_for_from_the_moment_that_an_id_tells_if_it_can_have_been(
    job_id: str, start: StreamFrom | StreamStart
) -> None:
    assert beginning(job_id, NOW) == start


# --- asyncio ---------------------------------------------------------------------------------------------------------


def test_the_asynchronous_producer_has_the_same(memory_broker: str, idle: Hands) -> None:
    async def cancelling() -> None:
        async with AsyncProducer(settings(memory_broker)) as producer:
            handle = await producer.enqueue(double, 21)
            assert await handle.cancel(SILENCE) is Cancellation.CANCELLED
            with pytest.raises(JobCancelled):
                await handle.result(0)
            mapped = await producer.map(double, range(2))
            assert await mapped.cancel(SILENCE) == {mapped.ids[0]: Cancellation.CANCELLED}
            assert await producer.cancel(new_id(), timeout=SILENCE) is Cancellation.UNKNOWN
            assert await producer.cancel_many([handle.id], timeout=SILENCE) == {handle.id: Cancellation.ALREADY_DONE}
            assert (await producer.cancel_task("m:f", timeout=SILENCE)).workers == 0

    asyncio.run(cancelling())


def test_what_is_no_cancellation_does_not_concern_producers(
    memory_broker: str, producer: Producer, idle: Hands
) -> None:
    handle = producer.enqueue(double, 21)
    message, _ = control.command_message(PauseQueue("q", 1.0), 1.0)

    async def publish() -> None:
        connection = await memory.connect(f"memory://{memory_broker}")
        for key in ("all", "nonsense"):
            await connection.publish(message, NAMES.results, key, mandatory=False)
        await connection.close()

    asyncio.run(publish())
    with pytest.raises(ResultTimeout):
        handle.result(SILENCE)
