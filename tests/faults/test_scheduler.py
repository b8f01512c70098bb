"""Every due time fires exactly once, and soon, whatever happens to the leading scheduler."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.faults.schedulers import SchedulerProcess, leader, published
from tests.support import Broker, eventually

from warren.scheduler import Schedules
from warren.scheduler.schedules import job_id
from warren.store.database import Database
from warren.store.schedules import Fire, FireState

SECONDS = int(os.environ.get("WARREN_TEST_SCHEDULER", "0"))
"""How many due times at least; with 60, the leader is killed twice and stopped once on both databases."""
MOST_LATE = 10.0
MODULE = "tests.faults.schedule_jobs"


@dataclass
class Fleet:
    """Three schedulers; one that is killed is replaced."""

    broker: Broker
    namespace: str
    store: str
    folder: Path
    stack: ExitStack
    running: list[SchedulerProcess] = field(default_factory=list)
    started: int = 0

    def start(self) -> SchedulerProcess:
        self.started += 1
        log = self.folder / f"scheduler-{self.started}.log"
        made = SchedulerProcess(self.broker, self.namespace, self.store, log, MODULE)
        self.running.append(self.stack.enter_context(made))
        return made

    def kill_leader(self) -> None:
        found = leader(self.running)
        found.kill()
        self.running.remove(found)
        self.start()

    @contextmanager
    def leader_stopped(self) -> Iterator[SchedulerProcess]:
        found = leader(self.running)
        found.signal(signal.SIGSTOP)
        self.running.remove(found)
        yield found
        found.signal(signal.SIGCONT)
        self.running.append(found)


def fired(database: Database) -> list[Fire]:
    """What was published, by due time."""
    with_state = [fire for fire in Schedules(database).fired("tick", 100_000) if fire.state is FireState.PUBLISHED]
    return sorted(with_state, key=lambda fire: fire.due)


def wait_for_more(database: Database, more: int) -> None:
    """Wait until so many more due times were published."""
    before = len(fired(database))
    eventually(lambda: len(fired(database)) >= before + more, message=f"{more} more fires")


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["sqlite", "postgresql"] if SECONDS else ["sqlite"], indirect=True)
def test_every_due_time_fires_once_whatever_happens_to_the_leader(
    broker: Broker, namespace: str, store_url: str, tmp_path: Path
) -> None:
    database = Database(store_url)
    with ExitStack() as stack:
        fleet = Fleet(broker, namespace, store_url, tmp_path, stack)
        for _ in range(3):
            fleet.start()
        for scheduler in fleet.running:
            scheduler.wait_for("ready")
        for _ in range(2 if SECONDS else 1):
            wait_for_more(database, random.Random().randint(1, 2))
            fleet.kill_leader()
        wait_for_more(database, 1)
        with fleet.leader_stopped() as stopped:
            leading_since = len(stopped.lines("leading"))
            wait_for_more(database, 6)
        eventually(lambda: stopped.lines("broker connection lost, rebuilding it"), message="it has noticed")
        wait_for_more(database, max(1, SECONDS - len(fired(database))))
        for scheduler in fleet.running:
            scheduler.signal(signal.SIGTERM)
            assert scheduler.process.wait(60) == 0
        assert len(stopped.lines("leading")) <= leading_since + 1
    _check(fired(database), published(broker, namespace, "ticks"), kills=2 if SECONDS else 1)
    database.close()


def _check(fires: list[Fire], ids: list[str], kills: int) -> None:
    dues = [fire.due for fire in fires]
    assert dues == [dues[0] + second for second in range(len(dues))], "every second, each once"
    assert {fire.job_id for fire in fires} == set(ids) == {job_id("tick", due) for due in dues}
    late = [(fire.published_at or 0.0) - fire.due for fire in fires]
    print(
        f"{len(fires)} fires, {len(ids)} messages of {len(set(ids))} ids; late: at most {max(late):.2f} s, "
        f"{sum(each > 1 for each in late)} by more than 1 s"
    )
    assert max(late) < MOST_LATE
    # One that dies between the broker's confirm and the store's mark has its last job published again, by the same id.
    assert len(ids) - len(set(ids)) <= kills
