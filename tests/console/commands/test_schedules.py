"""`warren schedules`, on a store of its own; it needs no broker."""

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.console.executable import Warren

from warren.console.cli import run


@dataclass
class Here:
    """The command line in this process: every one of its own would cost a second."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command; what it printed, or if it failed what it complained of."""
        self.capsys.readouterr()
        assert run(["schedules", *words]) == code
        printed = self.capsys.readouterr()
        return printed.err if code else printed.out

    def json(self, *words: str, code: int = 0) -> Any:
        self.capsys.readouterr()
        assert run(["schedules", *words, "--json"]) == code
        return json.loads(self.capsys.readouterr().out)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'warren.db'}"


@pytest.fixture
def warren(store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("WARREN_STORE", store)
    return Here(capsys)


def test_a_schedule_from_its_making_to_its_end(warren: Here, tmp_path: Path) -> None:
    line = ("--cron", "30 2 * * 1-5", "--tz", "America/New_York", "--overlap", "skip", "--queue", "night")
    made = warren.json("add", "nightly", "m:f", "a", "3", *line, "--kwargs", '{"deep": true}')
    assert made["rule"] == {"kind": "cron", "line": "30 2 * * 1-5", "tz": "America/New_York"}
    assert made["job"] == {"task": "m:f", "queue": "night", "args": ["a", 3], "kwargs": {"deep": True}}
    shown = warren.json("show", "nightly")
    assert (shown["state"], shown["overlap"], len(shown["runs"]), shown["fired"]) == ("active", "skip", 5, [])
    assert all(run["local"][-3:] in {"EST", "EDT"} and run["local"].count("02:30:00") for run in shown["runs"])
    fired = warren.json("run", "nightly")
    assert warren.json("pause", "nightly") == {"schedule": "nightly", "changed": True}
    (listed,) = warren.json()
    assert (listed["state"], listed["next"], listed["last"]["id"]) == ("paused", None, fired["id"])
    text = warren("list")
    assert text.splitlines()[0].split() == ["name", "when", "state", "next,", "UTC", "last", "task"]
    assert "30 2 * * 1-5 America/New_York" in text
    assert warren("resume", "nightly") == "nightly  resumed\n"
    assert warren("remove", "nightly") == "nightly  removed\n"
    assert warren.json("show", "nightly", code=1)["kind"] == "UnknownSchedule"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one of --cron LINE, --every SECONDS and --at ISO"),
        (("--cron", "* * * 9"), "no crontab line"),
        (("--cron", "0 0 30 2 *"), "never due from now on"),
        (("--every", "5", "--start", "2030-01-01T00:00:00"), "with a time zone"),
    ],
)
def test_what_cannot_be_made_is_one_line(warren: Here, words: tuple[str, ...], said: str) -> None:
    complaint = warren("add", "x", "m:f", *words, code=2)
    assert said in complaint
    assert complaint.count("\n") == 1


def test_a_store_nobody_used_is_told(warren: Here) -> None:
    assert warren.json(code=1)["kind"] == "StoreEmpty"


def test_that_nobody_fires_is_told(warren: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warren("add", "often", "m:f", "--every", "60")
    with sqlite3.connect(tmp_path / "warren.db") as connection:
        connection.execute("UPDATE warren_schedules SET wake_at = wake_at - 3600")
    connection.close()
    warren()
    assert run(["schedules"]) == 0
    assert "no `warren scheduler` seems to run" in capsys.readouterr().err


def test_a_scheduler_that_cannot_begin_is_one_line(store: str) -> None:
    done = Warren(store=store)("scheduler", "tests.scheduler.wrong", "--http-port", "-1", "--log-level", "error")
    assert done.returncode == 1
    assert "there is no time zone 'Europe/Pari' here" in done.stderr
    assert done.stderr.count("\n") == 1
