"""A pool that cannot start says so."""

import subprocess
import sys
from typing import Any

import pytest

from warren.errors import WorkerStartError
from warren.worker import Worker, keeper

JOBS = "tests.faults.jobs"


def test_a_nursery_that_dies_as_it_starts_is_an_error_and_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def ends_at_once(_: object, **options: Any) -> subprocess.Popen[bytes]:
        program = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], **options)
        started.append(program.pid)
        return program

    monkeypatch.setattr(keeper, "start_program", ends_at_once)
    worker = Worker([JOBS], url="memory://nursery", processes=2, http_port=-1)
    with pytest.raises(WorkerStartError, match="nursery dies as it starts"):
        worker.run()
    assert len(started) == 3
