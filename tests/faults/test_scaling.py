"""A worker whose pool grows with the jobs that wait."""

from pathlib import Path

from tests.faults import jobs
from tests.faults.workers import Gate, begun, worker_and_producer, written
from tests.support import Broker, eventually


def test_a_worker_grows_with_its_queue_and_says_how_large_it_is(broker: Broker, namespace: str, tmp_path: Path) -> None:
    log, gate = tmp_path / "log", Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, processes="1..4") as (worker, producer):
        assert worker.metric("warren_pool_size", bound="now") == 1
        handles = [producer.enqueue(jobs.record, str(log), number, until=gate.path) for number in range(12)]
        eventually(lambda: len(begun(log)) == 4, message="four run at a time")
        sizes = {bound: worker.metric("warren_pool_size", bound=bound) for bound in ("min", "max", "now")}
        assert sizes == {"min": 1, "max": 4, "now": 4}
        assert [line["after"] for line in worker.lines("pool has another size")] == [2, 4]
        gate.open()
        assert [handle.result(120) for handle in handles] == list(range(12))
        eventually(lambda: worker.metric("warren_pool_size", bound="now") < 4, message="one has left")
        assert worker.metric("warren_pool_exits_total", reason="stopped") >= 0
    assert {line["attempt"] for line in written(log)} == {1}
