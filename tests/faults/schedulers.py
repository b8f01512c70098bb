"""Real schedulers in real processes, for tests that hurt them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pika
from tests.faults.workers import ROOT
from tests.support import Broker, eventually


class SchedulerProcess:
    """One `warren scheduler` with its log."""

    def __init__(self, broker: Broker, namespace: str, store: str, log: Path, *modules: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}
        settings = {"URL": broker.url, "NAMESPACE": namespace, "STORE": store, "LOG_FORMAT": "json", "HTTP_PORT": "-1"}
        self.log = log
        self._out = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "warren", "scheduler", *modules],
            cwd=ROOT,
            env=clean | {f"WARREN_{name}": value for name, value in settings.items()},
            stdout=self._out,
            stderr=self._out,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._out.close()
        if error is not None:
            print(f"--- the log of {self.log.name}:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill -9, also when it is stopped."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it has logged of one event."""
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be being written
        parsed = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in parsed if line["event"] == event]

    def wait_for(self, event: str) -> Self:
        """Wait until it has logged this."""

        def said() -> bool:
            assert self.process.poll() is None, f"the scheduler ended: {self.log.read_text()[-3000:]}"
            return bool(self.lines(event))

        eventually(said, message=f"the scheduler says {event!r}")
        return self


def leader(schedulers: Sequence[SchedulerProcess]) -> SchedulerProcess:
    """The one that became the leader last."""

    def since(scheduler: SchedulerProcess) -> str:
        return max((str(line["timestamp"]) for line in scheduler.lines("leading")), default="")

    eventually(lambda: any(map(since, schedulers)), message="one leads")
    return max(schedulers, key=since)


def published(broker: Broker, namespace: str, queue: str) -> list[str]:
    """The ids of the jobs in a queue, which is emptied."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    found = []
    while True:
        method, properties, _ = channel.basic_get(f"{namespace}.queue.{queue}", auto_ack=True)
        if method is None or properties is None:
            break
        found.append(str(properties.message_id))
    connection.close()
    return found
