"""`warren worker`: starts, says that it is ready, stops when asked."""

import signal
from pathlib import Path

import pytest
from tests.console.executable import JOBS, Warren

from warren.console.serving import _OPTIONS
from warren.settings import KEYS


def test_every_setting_has_an_option() -> None:
    everywhere = {"url", "namespace", "management_url", "queues", "strict"}
    no_workers = {"store", "history_age", "history_jobs"}
    assert set(_OPTIONS) | everywhere | no_workers == set(KEYS)


@pytest.mark.broker
def test_it_says_when_it_is_ready_and_stops_in_order(warren: Warren, tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = ("--queue", "a", "--queue", "b", "--processes", "2", "--http-port", "0", "--name", "w1", "--json")
    with warren.started("worker", JOBS, *options, log=log) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert '"w1"' in ready
        assert f"{JOBS}:add" in ready
        queues = warren.json("queues", "a", "b")["queues"]
        assert [queue["consumers"] for queue in queues] == [1, 1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
    assert "worker stopped" in log.read_text()


@pytest.mark.broker
def test_a_module_that_cannot_be_imported_is_one_clear_error(warren: Warren) -> None:
    done = warren("worker", "no.such.module", "--http-port", "-1", "--processes", "1")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_wrong_settings_start_nothing(alone: Warren) -> None:
    document = alone.json("worker", JOBS, "--processes", "many", "--log-level", "loud", code=2)
    assert len(document["problems"]) == 2


def test_modules_must_be_named(alone: Warren) -> None:
    assert alone("worker").returncode == 2
