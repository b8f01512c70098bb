"""`warren up`: a worker, what schedules and remembers, and a broker when none is configured."""

import json
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.console.executable import JOBS, Warren
from tests.support import eventually

from warren.console.commands import up
from warren.console.parts import Ended, Part
from warren.console.private_guard import processes_of
from warren.settings import Settings

pytestmark = pytest.mark.broker

OPTIONS = ("--http-port", "0", "--processes", "1", "--json")
KINDS = {"worker", "scheduler", "recorder"}


def daemons(process: "subprocess.Popen[str]") -> dict[str, psutil.Process]:
    """The daemons of an `up`, by kind."""
    found = {}
    for child in psutil.Process(process.pid).children():
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        found.update({kind: child for kind in KINDS if kind in words})
    return found


@pytest.fixture
def here(warren: Warren, tmp_path: Path) -> Warren:
    """The executable with a state folder of the test's own."""
    warren.environ["XDG_STATE_HOME"] = str(tmp_path / "state")
    return warren


def test_the_configured_broker_is_used_and_what_crashes_is_started_again(here: Warren, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with here.started("up", JOBS, *OPTIONS, log=log) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["queues"] == ["default"]
        assert {said[kind]["kind"] for kind in ("recorder", "scheduler")} == {"recorder", "scheduler"}
        assert "on the configured broker amqp://guest:***@" in log.read_text()
        assert here.ok("enqueue", f"{JOBS}:add", "1", "--wait", "60") == "3\n"
        store = re.search(r"WARREN_STORE=(\S+)", log.read_text())
        assert store is not None
        assert here.json("schedules", "list", "--store", store[1]) == []
        running = daemons(process)
        assert set(running) == KINDS
        running["scheduler"].send_signal(signal.SIGKILL)
        eventually(lambda: "started again in 1 s" in log.read_text())
        eventually(lambda: "scheduler" in daemons(process), message="another scheduler")
        again = daemons(process)["scheduler"]
        assert daemons(process)["worker"] == running["worker"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
        assert not again.is_running()
        assert not running["worker"].is_running()


def test_daemons_go_when_what_started_them_is_killed(here: Warren, tmp_path: Path) -> None:
    with here.started("up", JOBS, *OPTIONS, log=tmp_path / "log") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        running = daemons(process)
        process.kill()
        eventually(lambda: not any(daemon.is_running() for daemon in running.values()), message="they are gone")


def test_what_cannot_start_ends_everything_with_its_line(here: Warren, tmp_path: Path) -> None:
    done = here("up", "tests.no_such_module", *OPTIONS)
    assert done.returncode != 0
    assert "tests.no_such_module" in json.loads(done.stdout)["error"]
    assert "cannot start; stopping everything" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_one_a_private_broker_runs_and_goes_with_it_and_keeps_its_jobs(tmp_path: Path) -> None:
    """A second one in the same folder uses the first one's broker, and leaves scheduling and remembering to that."""
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
            assert set(daemons(another)) == {"worker"}
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


@pytest.mark.parametrize(
    ("installed", "alone", "kinds"),
    [
        (True, False, ["scheduler", "worker", "recorder"]),
        (True, True, ["worker"]),
        (False, False, ["worker"]),
    ],
)
def test_who_runs_in_which_order_they_stop_and_on_which_ports(
    installed: bool, alone: bool, kinds: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the libraries of the extra a worker runs alone, and a line says how to have the rest."""
    ran: list[Part] = []

    async def keep(parts: list[Part], *_: object) -> Ended:
        ran.extend(parts)
        return Ended(3)

    monkeypatch.setattr(up, "keep", keep)
    monkeypatch.setattr(up, "libraries_are_installed", lambda: installed)
    assert up._serve(("m",), Settings(grace_period=7.0), alone=alone, as_json=False) == 3
    assert [part.kind for part in ran] == kinds
    ports = {part.kind: part.environ["WARREN_HTTP_PORT"] for part in ran}
    assert ports == {kind: {"worker": "9464", "recorder": "9465", "scheduler": "9466"}[kind] for kind in kinds}
    assert [part.stop_seconds > 7 + 10 for part in ran if part.kind == "worker"] == [True]
    assert ("pip install 'warren[store]'" in capsys.readouterr().err) is (not installed)
