"""`warren up`: a worker, and a broker of its own when none is configured."""

import re
import signal
from pathlib import Path

import pytest
from tests.console.executable import JOBS, Warren
from tests.support import eventually

from warren.console.private_guard import processes_of

pytestmark = pytest.mark.broker

OPTIONS = ("--http-port", "0", "--processes", "1", "--json")


def test_the_configured_broker_is_used(warren: Warren, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with warren.started("up", JOBS, *OPTIONS, log=log) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert "on the configured broker amqp://guest:***@" in log.read_text()
        assert warren.ok("enqueue", f"{JOBS}:add", "1", "--wait", "60") == "3\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.slow
def test_without_one_a_private_broker_runs_and_goes_with_it_and_keeps_its_jobs(tmp_path: Path) -> None:
    """A second one in the same folder uses the first one's broker."""
    warren = Warren()
    warren.environ["XDG_STATE_HOME"] = str(tmp_path / "state")
    folder, log = tmp_path / "state" / "warren" / "broker", tmp_path / "log"
    with warren.started("up", JOBS, *OPTIONS, log=log) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), log.read_text()
        said = re.search(r"export WARREN_URL=(\S+)", log.read_text())
        assert said is not None
        url = said[1]
        assert str(folder) in log.read_text()
        second = tmp_path / "second"
        with warren.started("up", JOBS, *OPTIONS, log=second) as another:
            assert another.stdout is not None
            assert another.stdout.readline(), second.read_text()
            assert "another `warren up`" in second.read_text()
            another.send_signal(signal.SIGINT)
            assert another.wait(60) == 0
        kept = warren.ok("enqueue", f"{JOBS}:add", "1", "--queue", "later", "--url", url).strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    eventually(lambda: not processes_of(folder), message="the broker is gone")
    with warren.started("up", JOBS, *OPTIONS, "--queue", "later", log=log) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), log.read_text()
        assert warren.ok("result", kept, "--wait", "60", "--url", url) == "3\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
