"""The real executable as a subprocess, and letters to be found dead."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
from tests.console.warm import ROOT, warm

from warren import dead_letter
from warren.amqp.seam import Message
from warren.dead_letter import Evidence
from warren.job import from_message, new_id
from warren.outcome import Failure

JOBS = "tests.jobs"
Done = subprocess.CompletedProcess[str]


class Warren:
    """`warren …` with one environment."""

    def __init__(self, **settings: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}
        self.environ = clean | {f"WARREN_{name.upper()}": value for name, value in settings.items()}

    def __call__(self, *arguments: str, stdin: str | None = None, environ: Mapping[str, str] | None = None) -> Done:
        """Run a command to its end."""
        return warm().run(arguments, {**self.environ, **(environ or {})}, stdin)

    def ok(self, *arguments: str, **more: Any) -> str:
        """Run a command that must succeed; what it printed."""
        done = self(*arguments, **more)
        assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, code: int = 0, **more: Any) -> Any:
        """Run a command with --json; its document."""
        done = self(*arguments, "--json", **more)
        assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    @contextmanager
    def started(self, *arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on; killed if it is still there afterwards. Its logs go to a file."""
        with (
            log.open("a") as stderr,
            subprocess.Popen(
                [sys.executable, "-m", "warren", *arguments],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def worker(self, tmp_path: Path, *options: str) -> Iterator[dict[str, Any]]:
        """A worker for tests.jobs that is ready; what it said then."""
        flags = ("--http-host", "127.0.0.1", "--http-port", "0", "--processes", "2", "--json", *options)
        with self.started("worker", JOBS, *flags, log=tmp_path / "worker.log") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (tmp_path / "worker.log").read_text()
            yield json.loads(line)


def publish(url: str, exchange: str, routing_key: str, *bodies: bytes) -> None:
    """Publish raw bodies, as another language's client would."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    for body in bodies:
        channel.basic_publish(exchange, routing_key, body, mandatory=True)
    connection.close()


def buried(task: str = "m:t", queue: str = "default", reason: str = "failed", **evidence: Any) -> Message:
    """A dead letter of a job `task(1, size=2)`."""
    now = time.time()
    body = json.dumps({"task": task, "args": [1], "kwargs": {"size": 2}}).encode()
    job = from_message(Message(body, message_id=new_id(now)), queue, now)
    return dead_letter.bury(Message(body), queue, _evidence(reason, now, evidence), job)


def undecodable(body: bytes = b"\x00no job") -> Message:
    """A dead letter of bytes that are no job."""
    return dead_letter.bury(Message(body), "default", _evidence("undecodable", time.time(), {}), None)


def _evidence(reason: str, now: float, more: dict[str, Any]) -> Evidence:
    return Evidence(reason, Failure("ValueError", "no such file", "Traceback: here\n"), "worker-1", now, **more)
