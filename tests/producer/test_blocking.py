"""The blocking producer: confirmed or a typed error, results through any weather, from any thread."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from tests.producer.hands import (
    NAMES,
    Hands,
    done,
    double,
    doubled,
    ended,
    job_of,
    later,
    nothing,
    published_while_away,
    sessions,
    settings,
    silent,
)

from warren import errors, topology
from warren.amqp import memory
from warren.job import new_id
from warren.producer import Producer
from warren.states import JobState
from warren.task import named


@pytest.fixture
def hands(memory_broker: str) -> Iterator[Hands]:
    with Hands(memory_broker) as worker:
        yield worker


@pytest.fixture
def idle(memory_broker: str) -> Iterator[Hands]:
    with Hands(memory_broker, nothing) as worker:
        yield worker


# --- one job ---------------------------------------------------------------------------------------------------------


def test_a_job_is_enqueued_and_its_result_comes_back(producer: Producer, hands: Hands) -> None:
    handle = producer.enqueue(double, 21)
    assert handle.result(timeout=10) == 42
    assert handle.result(timeout=0) == 42
    (job,) = hands.took(1)
    assert (job.id, job.task, job.attempt) == (handle.id, double.name, 1)
    assert handle.id in repr(handle)


def test_a_task_can_be_enqueued_by_its_name(producer: Producer, hands: Hands) -> None:
    assert producer.enqueue("shop:double", 4).result(timeout=10) == 8
    assert producer.enqueue(named("shop:double"), 4, by=3).result(timeout=10) == 12


def test_a_result_comes_back_as_the_annotated_type(producer: Producer, memory_broker: str) -> None:
    with Hands(memory_broker, lambda job: done(job, "text")):
        assert producer.enqueue(later, "a").result(timeout=10) == "text"
        with pytest.raises(errors.JobFailed, match="does not fit its return annotation") as failed:
            producer.enqueue(double, 1).result(timeout=10)
    assert failed.value.reason == "bad_result"


def test_a_producer_connects_when_it_is_first_used(memory_broker: str, hands: Hands) -> None:
    producer = Producer(settings(memory_broker))
    assert producer._host._running is None
    assert producer.enqueue(double, 1).result(timeout=10) == 2
    producer.close()
    producer.close()
    with pytest.raises(errors.WrongUse, match="closed"):
        producer.enqueue(double, 1)


def test_what_is_said_of_a_job_is_on_its_message(producer: Producer, hands: Hands) -> None:
    producer.enqueue(double.options(priority=7, expires=timedelta(minutes=5)), 1).result(timeout=10)
    (job,) = hands.took(1)
    (message,) = hands.messages
    assert (message.priority, message.type, message.app_id) == (7, double.name, "warren")
    assert job.expires_at == pytest.approx(job.enqueued_at + 300, abs=0.01)
    assert message.reply_to


def test_a_delayed_job_comes_when_it_is_due(producer: Producer, hands: Hands) -> None:
    first = producer.enqueue(double.options(delay=0.1, priority=3), 1)
    at = datetime.now(UTC) + timedelta(seconds=0.5)
    second = producer.enqueue(double.options(at=at), 2)
    assert (first.result(timeout=10), second.result(timeout=10)) == (2, 4)
    by_id = {job.id: job for job in hands.took(2)}
    assert by_id[first.id].ready_at == pytest.approx(by_id[first.id].enqueued_at + 0.1, abs=0.01)
    assert by_id[second.id].ready_at == pytest.approx(at.timestamp(), abs=0.01)
    assert by_id[first.id].priority == 3


def test_a_queue_nobody_has_served_yet_is_made(producer: Producer, memory_broker: str) -> None:
    handle = producer.enqueue(double.options(queue="new"), 4)
    with Hands(memory_broker, queue="new"):
        assert handle.result(timeout=10) == 8


# --- what cannot be sent ---------------------------------------------------------------------------------------------


def test_wrong_arguments_are_told_before_anything_is_sent(producer: Producer, hands: Hands) -> None:
    with pytest.raises(errors.InvalidArguments, match="argument 'number': Expected `int`"):
        producer.enqueue(double, "x")  # type: ignore[call-overload]
    with pytest.raises(errors.InvalidArguments, match="missing a required argument"):
        producer.enqueue(double)  # type: ignore[call-overload]
    assert hands.jobs == []


def test_a_large_job_is_refused_with_advice(memory_broker: str, hands: Hands) -> None:
    with Producer(settings(memory_broker, payload_limit=1000)) as producer:
        with pytest.raises(errors.PayloadTooLarge, match="pass a path or a URL") as refused:
            producer.enqueue(later, "x" * 1000)
        with pytest.raises(errors.PayloadTooLarge, match="smaller chunks"):
            producer.map(later, ["x" * 100] * 10, chunk=10)
    assert (refused.value.limit, refused.value.task) == (1000, later.name)
    assert hands.jobs == []


def test_a_delay_of_more_than_a_year_is_refused(producer: Producer) -> None:
    with pytest.raises(errors.UsageError, match="more than a year"):
        producer.enqueue(double.options(delay=timedelta(days=400)), 1)


def test_without_the_right_to_declare_a_missing_queue_is_unroutable(memory_broker: str) -> None:
    with Producer(settings(memory_broker, declare=False)) as producer:
        with pytest.raises(errors.Unroutable, match="start a worker for it"):
            producer.enqueue(double, 1)
        with Hands(memory_broker, queue="other"):
            with pytest.raises(errors.Unroutable, match="queue 'default' does not take jobs") as refused:
                producer.enqueue(double, 1)
            assert producer.enqueue(double.options(queue="other"), 1).result(timeout=10) == 2
    assert refused.value.queue == "default"
    assert not refused.value.unknown


def test_a_queue_deleted_under_the_producer_is_made_again(producer: Producer, memory_broker: str) -> None:
    producer.enqueue(double, 1)
    memory.delete_queue(memory_broker, NAMES.queue("default"))
    handle = producer.enqueue(double, 2)
    with Hands(memory_broker):
        assert handle.result(timeout=10) == 4


def test_a_queue_of_other_arguments_is_a_mismatch(memory_broker: str, producer: Producer) -> None:
    with memory._hub(memory_broker).working() as inside:
        session = inside.open(lambda _: None)
        inside.declare(session, topology.Queue(NAMES.queue("old"), {"x-queue-type": "classic"}))
    with pytest.raises(errors.TopologyMismatch, match="warren topology check"):
        producer.enqueue(double.options(queue="old"), 1)
    assert producer.enqueue(double, 1).id


def test_an_alarm_is_told_as_such_within_the_deadline(memory_broker: str, hands: Hands) -> None:
    with Producer(settings(memory_broker, publish_timeout=1.0)) as producer:
        producer.enqueue(double, 1)
        memory.block(memory_broker, on=True)
        with pytest.raises(errors.BrokerBlocked, match="it may still arrive") as blocked:
            producer.enqueue(double, 2)
        with pytest.raises(errors.BrokerBlocked, match="alarm") as many:
            producer.enqueue_many(double.call(number) for number in range(3))
        memory.block(memory_broker, on=False)
        assert producer.enqueue(double, 3).result(timeout=10) == 6
    assert blocked.value.unknown
    assert "enqueued" in many.value.__notes__[0]


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1/", "amqp://127.0.0.1:1,amqp://127.0.0.1:2"])
def test_a_broker_that_is_not_there_is_told_within_the_deadline(url: str) -> None:
    producer = Producer(settings("", url=url, publish_timeout=1.0, connect_timeout=0.5))
    with pytest.raises(errors.BrokerUnavailable, match=r"127\.0\.0\.1:1.*it was not sent") as unavailable:
        producer.enqueue(double, 1)
    assert not unavailable.value.unknown
    assert "guest:guest" not in str(unavailable.value)
    with pytest.raises(errors.BrokerUnavailable, match="no broker could be reached within"), producer:
        pass
    producer.close()


# --- many jobs -------------------------------------------------------------------------------------------------------


def test_many_jobs_are_enqueued_in_order(producer: Producer, hands: Hands) -> None:
    handles = producer.enqueue_many(double.call(number) for number in range(1200))
    assert [handle.result(timeout=20) for handle in handles] == [2 * number for number in range(1200)]
    assert [job.id for job in hands.took(1200)] == [handle.id for handle in handles]


def test_many_may_be_none(producer: Producer) -> None:
    assert producer.enqueue_many([]) == []
    assert producer.map(double, []).results(timeout=1) == []


def test_many_may_be_of_several_tasks_and_queues(producer: Producer, hands: Hands, memory_broker: str) -> None:
    with Hands(memory_broker, queue="other"):
        calls = [double.call(1), double.options(queue="other").call(2), double.options(delay=0.1).call(3)]
        assert [handle.result(timeout=10) for handle in producer.enqueue_many(calls)] == [2, 4, 6]


def test_a_map_gives_its_results_in_order(producer: Producer, hands: Hands) -> None:
    handle = producer.map(double, range(25), chunk=10, kwargs={"by": 3})
    progress: list[tuple[int, int, int]] = []
    assert handle.results(timeout=10, on_progress=lambda *now: progress.append(now)) == [3 * n for n in range(25)]
    assert [len(job.body.items or ()) for job in hands.took(3)] == [10, 10, 5]
    assert handle.progress == (25, 25)
    assert len(handle.ids) == 3
    assert progress[-1] == (25, 25, 0) if progress else True


def test_a_map_tells_which_items_failed_and_what_the_others_gave(producer: Producer, hands: Hands) -> None:
    with pytest.raises(errors.MapFailed) as failed:
        producer.map(double, [1, -1, 2, -2], chunk=2).results(timeout=10)
    assert failed.value.results == [2, None, 4, None]
    assert failed.value.failed == {1: "ValueError: below nothing", 3: "ValueError: below nothing"}


def test_a_map_of_an_impossible_item_says_so(producer: Producer, hands: Hands) -> None:
    with pytest.raises(errors.InvalidArguments, match="argument 'number'"):
        producer.map(double, [1, "x"])  # type: ignore[arg-type]
    with pytest.raises(errors.UsageError, match="a chunk has at least 1 item"):
        producer.map(double, [1], chunk=0)
    assert hands.jobs == []


# --- results ---------------------------------------------------------------------------------------------------------


def test_what_became_of_a_job_is_raised(producer: Producer, memory_broker: str) -> None:
    states = iter([JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED])
    more = {"reason": "failed", "error_type": "ValueError", "error": "no", "traceback": "Traceback"}
    with Hands(memory_broker, lambda job: ended(job, next(states), **more)):
        with pytest.raises(errors.JobFailed, match=r"dead letter \(failed\): ValueError: no") as failed:
            producer.enqueue(double, 1).result(timeout=10)
        with pytest.raises(errors.JobCancelled):
            producer.enqueue(double, 1).result(timeout=10)
        with pytest.raises(errors.JobExpired):
            producer.enqueue(double, 1).result(timeout=10)
    assert failed.value.traceback == "Traceback"


def test_waiting_may_end_before_the_job_and_be_taken_up_again(producer: Producer, idle: Hands) -> None:
    handle = producer.enqueue(double, 1)
    for _ in range(2):
        with pytest.raises(errors.ResultTimeout, match=r"no result after 0\.02 s") as timeout:
            handle.result(timeout=0.02)
    assert isinstance(timeout.value, TimeoutError)
    (job,) = idle.took(1)
    idle.publish(done(job, 2), job)
    assert handle.result(timeout=10) == 2


def test_a_result_of_an_attempt_that_is_retried_does_not_end_the_waiting(producer: Producer, idle: Hands) -> None:
    handle = producer.enqueue(double, 1)
    (job,) = idle.took(1)
    idle.publish(ended(job, JobState.RUNNING), job)
    idle.publish(done(job, 2), job)
    assert handle.result(timeout=10) == 2


def test_a_task_without_result_is_not_waited_for(producer: Producer, idle: Hands) -> None:
    handle = producer.enqueue(silent, "a")
    with pytest.raises(errors.NoResult, match="result=False"):
        handle.result()
    (job,) = idle.took(1)
    assert (job.wants_result, job.reply_to) == (False, None)


def test_a_result_can_be_asked_for_by_id_before_and_after_it_came(
    producer: Producer, idle: Hands, memory_broker: str
) -> None:
    handle = producer.enqueue(double, 1)
    (job,) = idle.took(1)
    with Producer(settings(memory_broker)) as other:
        assert other.find(handle.id) is None
        with pytest.raises(errors.ResultTimeout):
            other.handle(handle.id).result(timeout=0.02)
        idle.publish(done(job, 2), job)
        assert other.handle(handle.id).result(timeout=10) == 2
        found = other.find(handle.id)
    assert found is not None
    assert (found.state, found.id) == (JobState.DONE, handle.id)


def test_a_job_of_a_foreign_id_can_be_asked_for(producer: Producer, idle: Hands) -> None:
    job = job_of("by-hand")
    idle.publish(done(job, "x"), job)
    assert producer.handle("by-hand").result(timeout=10) == "x"


def test_several_handles_of_one_job_all_get_its_result(producer: Producer, idle: Hands) -> None:
    first = producer.enqueue(double, 1)
    others = [producer.handle(first.id) for _ in range(3)]
    del others[0]
    (job,) = idle.took(1)
    idle.publish(done(job, 2), job)
    assert [handle.result(timeout=10) for handle in (first, *others)] == [2, 2, 2]


def test_finding_what_never_was_finds_nothing(producer: Producer) -> None:
    assert producer.find(new_id()) is None
    assert producer.find("never") is None


def test_a_producer_without_reply_queue_reads_results_from_the_stream(memory_broker: str, hands: Hands) -> None:
    producer = Producer(settings(memory_broker))
    handle = producer.enqueue(double, 1)  # composed before there was a connection to hear on
    assert handle.result(timeout=10) == 2
    producer.close()


# --- a bad connection ------------------------------------------------------------------------------------------------


def test_a_result_published_while_the_producer_was_away_is_found(
    producer: Producer, idle: Hands, memory_broker: str
) -> None:
    handle = producer.enqueue(double, 1)
    (job,) = idle.took(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.result, 20)
        published_while_away(memory_broker, done(job, 2), job)
        assert waiting.result(timeout=20) == 2


def test_waiting_goes_on_through_several_restarts(producer: Producer, memory_broker: str) -> None:
    with Hands(memory_broker, nothing) as idle:
        handle = producer.enqueue(double, 1)
        (job,) = idle.took(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.result, 20)
        for _ in range(3):
            memory.drop(memory_broker)
        published_while_away(memory_broker, done(job, 2), job)
        assert waiting.result(timeout=20) == 2


def test_after_a_restart_the_next_job_is_sent_over_a_new_connection(producer: Producer, memory_broker: str) -> None:
    producer.enqueue(double, 1)
    before = sessions(producer)
    memory.drop(memory_broker)
    producer.enqueue(double, 2)
    handles = producer.enqueue_many(double.call(number) for number in range(3, 6))
    assert sessions(producer) is not before
    with Hands(memory_broker, doubled) as worker:
        worker.took(5)
        assert [handle.result(timeout=10) for handle in handles] == [6, 8, 10]


# --- threads ---------------------------------------------------------------------------------------------------------


def test_one_producer_serves_many_threads(producer: Producer, hands: Hands) -> None:
    barrier = threading.Barrier(8)

    def work(thread: int) -> list[int]:
        barrier.wait()
        handles = [producer.enqueue(double, 100 * thread + number) for number in range(100)]
        return [handle.result(timeout=30) for handle in handles]

    before = sessions(producer)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert [value for one in found for value in one] == [2 * number for number in range(800)]
    assert len({job.id for job in hands.took(800)}) == 800
    assert sessions(producer) is before


def test_a_loss_just_before_waiting_does_not_end_it(producer: Producer, idle: Hands, memory_broker: str) -> None:
    job = job_of(new_id())
    idle.publish(done(job, 2), job)
    handle, client = producer.handle(job.id), producer._host.client

    async def lose_and_wait() -> None:
        memory.drop(memory_broker)  # which this loop will only hear of in a moment
        await client.wait(handle._slot, 10)

    producer._host.call(lambda _: lose_and_wait())
    assert handle.result(timeout=0) == 2


def test_a_handle_survives_into_a_forked_process(producer: Producer, idle: Hands, memory_broker: str) -> None:
    handle = producer.enqueue(double, 1)
    (job,) = idle.took(1)
    producer._host.forget()  # as a fork does, in the child; the parent's connection hears nothing either
    published_while_away(memory_broker, done(job, 2), job)
    assert handle.result(timeout=10) == 2
