"""Cancelling a job, wherever it is, while all workers are restarted: each case is a line of the table in the documentation."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.docs.documents import ROOT, table
from tests.faults import cancel_jobs
from tests.faults.workers import Gate, WorkerProcess, running_worker, written
from tests.support import Broker, eventually

from warren import result
from warren.amqp.engines import connect_any
from warren.amqp.seam import Connection, Delivery, Message, Settle, StreamStart
from warren.errors import JobCancelled, MapFailed, ResultTimeout
from warren.job import Body, encode_body, new_id
from warren.producer import Cancellation, Producer
from warren.task import named
from warren.topology import DELAY_LEVELS, Names

JOBS = "tests.faults.cancel_jobs"
PAGE = ROOT / "docs/how-to/cancelling.md"
ANSWER_SECONDS = 30.0
"""For workers on a loaded machine; where all have answered nobody waits for so long."""
SILENCE_SECONDS = 0.5
"""For answers where nobody runs the job: whoever does not answer is a worker that does not have it."""


@dataclass(frozen=True)
class Scene:
    """One namespace on a broker, with a producer and as many lives of workers as a test wants."""

    broker: Broker
    namespace: str
    folder: Path
    producer: Producer

    @property
    def log(self) -> str:
        return str(self.folder / "log")

    @property
    def begun(self) -> list[Any]:
        """What ran, in order: attempts of single jobs, numbers of items."""
        return [line["began"] for line in written(Path(self.log)) if "began" in line]

    @contextmanager
    def worker(self) -> Iterator[WorkerProcess]:
        """All workers that there are; in the end they are stopped in peace, as a deployment does, or have been killed."""
        with running_worker(self.broker.url, self.namespace, self.folder, JOBS) as worker:
            yield worker
            if worker.process.poll() is None:
                worker.terminate()
                assert worker.wait() == 0

    def call(self, work: Callable[[Connection, Names], Any]) -> Any:
        """Do something on the broker itself."""

        async def calling() -> Any:
            connection = await connect_any((self.broker.url,), "pika", name="test", heartbeat=30, timeout=30)
            try:
                return await work(connection, Names(self.namespace))
            finally:
                await connection.close()

        return asyncio.run(asyncio.wait_for(calling(), 60))

    def an_hour_passes(self) -> None:
        """What waits in the delay comes out of it, as it would by its time."""
        self.call(_an_hour_passes)

    def results(self, job_id: str) -> list[str]:
        """The states that were published of a job, in order."""
        found: list[str] = self.call(lambda connection, names: _results(connection, names, job_id))
        return found

    def settle(self) -> None:
        """Have a worker meet all that is in the queue: a last job is behind the others."""
        assert self.producer.enqueue(cancel_jobs.plain, str(self.folder / "other")).result(60) == "done"


@pytest.fixture
def scene(broker: Broker, namespace: str, tmp_path: Path) -> Any:
    with Producer(url=broker.url, namespace=namespace, publish_timeout=60) as producer:
        yield Scene(broker, namespace, tmp_path, producer)


async def _an_hour_passes(connection: Connection, names: Names) -> None:
    moved: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
    for level in range(DELAY_LEVELS):
        depth = await connection.depth(names.delay(level))
        if depth is not None and depth.ready:
            await connection.consume(names.delay(level), moved.set_result)
            delivery = await moved
            headers = {name: value for name, value in delivery.message.headers.items() if not name.startswith("x-")}
            message = Message(delivery.message.body, delivery.message.message_id, headers=headers)
            await connection.publish(message, names.jobs, "default")
            connection.settle(delivery, Settle.ACK)
            return
    raise AssertionError("nothing is delayed")


async def _results(connection: Connection, names: Names, job_id: str) -> list[str]:
    found, end = list[str](), asyncio.Event()

    def take(delivery: Delivery) -> None:
        connection.settle(delivery, Settle.ACK)
        if delivery.message.correlation_id == job_id:
            found.append(str(delivery.message.type))
        if delivery.message.message_id == "the end":
            end.set()

    await connection.consume(names.results, take, prefetch=100, offset=StreamStart.FIRST)
    await connection.publish(Message(b"", message_id="the end"), names.results, result.NOBODY, mandatory=False)
    await end.wait()
    return found


# --- the cases: each returns what is answered, what whoever waits hears, and what had run when all is over --------------

Row = tuple[str, str, str]


def heard(waits: Callable[[], object]) -> str:
    """What whoever waits gets, within a minute."""
    try:
        return f"the result {waits()!r}"
    except JobCancelled:
        return "`JobCancelled`"
    except MapFailed as error:
        return f"`MapFailed`, with the results {error.results}"
    except ResultTimeout:
        return "nothing"


def queued(scene: Scene) -> Row:
    handle = scene.producer.enqueue(cancel_jobs.plain, scene.log)
    answer = handle.cancel(SILENCE_SECONDS)
    said = heard(lambda: handle.result(60))
    with scene.worker():
        scene.settle()
    assert scene.results(handle.id) == ["cancelled"]
    return answer, said, ran(scene)


def delayed(scene: Scene) -> Row:
    with scene.worker():
        handle = scene.producer.enqueue(cancel_jobs.plain.options(delay=3600), scene.log)
        answer = handle.cancel(SILENCE_SECONDS)
        said = heard(lambda: handle.result(60))
    scene.an_hour_passes()
    with scene.worker():
        scene.settle()
    assert scene.results(handle.id) == ["cancelled"]
    return answer, said, ran(scene)


def retrying(scene: Scene) -> Row:
    with scene.worker() as worker:
        handle = scene.producer.enqueue(cancel_jobs.failing, scene.log)
        eventually(lambda: worker.lines("job will be retried"))
        eventually(lambda: worker.lines("publish confirmed"))
        answer = handle.cancel(SILENCE_SECONDS)
        said = heard(lambda: handle.result(60))
    scene.an_hour_passes()
    with scene.worker():
        scene.settle()
    assert scene.results(handle.id) == ["cancelled"]
    return answer, said, ran(scene)


def running_plain(scene: Scene) -> Row:
    with scene.worker() as worker:
        processes = worker.whole_pool()
        handle = scene.producer.enqueue(cancel_jobs.plain, scene.log, Gate(scene.folder).path)
        eventually(lambda: scene.begun)
        answer = handle.cancel(ANSWER_SECONDS)
        said = heard(lambda: handle.result(60))
        assert written(Path(scene.log))[-1] == {"cleaned_up": True}
        assert worker.whole_pool() == processes, "nobody was killed for it"
    with scene.worker():
        scene.settle()
    assert scene.results(handle.id) == ["cancelled"]
    return answer, said, ran(scene)


def running_deaf(scene: Scene) -> Row:
    with scene.worker() as worker:
        handle = scene.producer.enqueue(cancel_jobs.deaf, scene.log)
        eventually(lambda: scene.begun)
        answer = handle.cancel(ANSWER_SECONDS)
        said = heard(lambda: handle.result(60))
        assert [line["outcome"] for line in worker.lines("job cancelled")] == ["cancelled"], "it is no crash"
    with scene.worker():
        scene.settle()
    assert scene.results(handle.id) == ["cancelled"]
    return answer, said, ran(scene)


def running_coroutine(scene: Scene) -> Row:
    with scene.worker():
        handle = scene.producer.enqueue(cancel_jobs.coroutine, scene.log)
        eventually(lambda: scene.begun)
        answer = handle.cancel(ANSWER_SECONDS)
        said = heard(lambda: handle.result(60))
        assert written(Path(scene.log))[-1] == {"cleaned_up": True}
    with scene.worker():
        scene.settle()
    assert scene.results(handle.id) == ["cancelled"]
    return answer, said, ran(scene)


def running_when_all_are_killed(scene: Scene) -> Row:
    """The workers are gone before they hear it; the job goes back to its queue, and the next ones read of it first."""
    with scene.worker() as worker:
        handle = scene.producer.enqueue(cancel_jobs.plain, scene.log, Gate(scene.folder).path)
        eventually(lambda: scene.begun)
        worker.kill()
    answer = handle.cancel(SILENCE_SECONDS)
    said = heard(lambda: handle.result(60))
    with scene.worker():
        scene.settle()
    assert scene.results(handle.id) == ["cancelled"]
    return answer, said, ran(scene)


def inside_a_map(scene: Scene) -> Row:
    there = {"path": scene.log, "until": Gate(scene.folder).path}
    with scene.worker():
        handle = scene.producer.map(cancel_jobs.item, range(4), chunk=4, kwargs=there)
        eventually(lambda: 0 in scene.begun and len(scene.begun) >= 2)
        (answer,) = handle.cancel(ANSWER_SECONDS).values()
        said = heard(lambda: handle.results(60))
    before = scene.begun
    with scene.worker():
        scene.settle()
    assert scene.begun == before
    assert scene.results(handle.ids[0]) == ["cancelled"]
    return answer, said, "the items that had begun"


def already_done(scene: Scene) -> Row:
    with scene.worker():
        handle = scene.producer.enqueue(cancel_jobs.plain, scene.log)
        assert handle.result(60) == "done"
    with Producer(url=scene.broker.url, namespace=scene.namespace) as elsewhere:
        assert elsewhere.cancel(handle.id, timeout=SILENCE_SECONDS) is Cancellation.ALREADY_DONE
    answer = handle.cancel(SILENCE_SECONDS)
    said = heard(lambda: handle.result(60))
    return answer, said, ran(scene)


def unknown(scene: Scene) -> Row:
    job_id = new_id()
    answer = scene.producer.cancel(job_id, timeout=SILENCE_SECONDS)
    body = encode_body(Body(f"{JOBS}:plain", [msgspec.Raw(f'"{scene.log}"'.encode())]))
    scene.producer.enqueue(named(f"{JOBS}:plain", result=False), str(scene.folder / "declares"))
    scene.call(lambda connection, names: connection.publish(Message(body, job_id), names.jobs, "default"))
    said = heard(lambda: scene.producer.handle(job_id).result(0))
    with scene.worker():
        scene.settle()
    assert scene.results(job_id) == ["cancelled"]
    return answer, said, ran(scene)


def ran(scene: Scene) -> str:
    attempts = len(scene.begun)
    return "never" if not attempts else "once" if attempts == 1 else f"{attempts} times"


CASES: dict[str, Callable[[Scene], Row]] = {
    "queued": queued,
    "delayed by an hour": delayed,
    "waiting an hour for its next attempt": retrying,
    "running, a plain task": running_plain,
    "running, a plain task that goes on all the same": running_deaf,
    "running, a coroutine": running_coroutine,
    "running, and its worker is killed before it hears of it": running_when_all_are_killed,
    "a chunk of a map: one item done, others running": inside_a_map,
    "done": already_done,
    "unknown: enqueued elsewhere, later": unknown,
}


@pytest.mark.parametrize("case", CASES)
def test_a_cancelled_job_ends_as_the_table_says_and_never_runs_again_after_all_workers_were_restarted(
    case: str, scene: Scene
) -> None:
    answer, said, runs = CASES[case](scene)
    documented = {row[0]: row[1:] for row in table(PAGE, "the job is")}
    assert documented[case] == [f"`{answer}`", said, runs]


def test_the_table_has_a_line_for_every_case() -> None:
    assert [row[0] for row in table(PAGE, "the job is")] == list(CASES)
