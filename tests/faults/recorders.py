"""Real recorders in real processes, for tests that hurt them; and what a store has afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text
from tests.support import eventually

from warren.errors import StoreEmpty
from warren.store.database import Database

ROOT = Path(__file__).parent.parent.parent
_DYING = """
import os, signal, sys
import warren.recorder.inflow as inflow
from warren.console.cli import main
from warren.store import places
inflow.BATCH = {batch}
left, write = [{after}], places.advance
def advance(*args, **more):
    write(*args, **more)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
places.advance = advance
main()
"""


class RecorderProcess:
    """One `warren recorder` with its log.

    Args:
        dies_after: kill -9 in the transaction of that batch, when all of it is written and nothing committed.
        batch: messages at a time, when it is to die.
    """

    def __init__(
        self, url: str, namespace: str, store: str, log: Path, *, dies_after: int = 0, batch: int = 50
    ) -> None:
        dying = ["-c", _DYING.format(after=dies_after, batch=batch)]
        command = [sys.executable, *(dying if dies_after else ["-m", "warren"]), "recorder", "--http-port", "0"]
        said = {"WARREN_URL": url, "WARREN_NAMESPACE": namespace, "WARREN_STORE": store, "WARREN_LOG_FORMAT": "json"}
        self.log = log
        with log.open("ab") as out:
            command += ["--http-host", "127.0.0.1", "--name", log.stem]
            self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **said}, stdout=out, stderr=out)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        if error is not None:
            print(f"--- the log of {self.log.name}:\n{self.log.read_text()[-6000:]}")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it has logged of one event."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        parsed = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in parsed if line["event"] == event]

    def wait_for(self, event: str) -> Self:
        """Wait until it has logged this."""

        def logged() -> bool:
            assert self.process.poll() is None, f"the recorder ended: {self.log.read_text()[-3000:]}"
            return bool(self.lines(event))

        eventually(logged, message=f"the recorder says {event!r}")
        return self

    def get(self, path: str) -> str:
        """Ask its HTTP port."""
        with urllib.request.urlopen(f"http://{self.lines('ready')[0]['http']}{path}", timeout=60) as answer:
            body: bytes = answer.read()
            return body.decode()

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def recorder(url: str, namespace: str, store: str, folder: Path, **more: int) -> Iterator[RecorderProcess]:
    """A recorder, killed afterwards if it is still there."""
    with RecorderProcess(url, namespace, store, folder / f"recorder-{time.monotonic_ns()}.log", **more) as process:
        yield process


@dataclass(frozen=True, slots=True)
class Row:
    """What the store has of a job."""

    task: str
    state: str
    attempt: int
    value: str | None


def kept(store: str) -> dict[str, Row]:
    """Return what a store has, by job; nothing while it has no tables."""
    database = Database(store)
    try:
        with database.read() as connection:
            found = connection.execute(
                text(
                    "SELECT j.id, k.task, k.state, j.attempt, j.value "
                    "FROM warren_jobs j JOIN warren_kinds k ON k.id = j.kind"
                )
            )
            return {row[0]: Row(*row[1:]) for row in found}
    except StoreEmpty:
        return {}
    finally:
        database.close()
