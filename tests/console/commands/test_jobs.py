"""`warren jobs`, and what other commands make of the history."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.console.executable import Warren
from tests.console.warm import ROOT
from tests.support import Broker

from warren.console.cli import run
from warren.result import ItemFailure
from warren.states import JobState
from warren.store.database import Database
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, ItemsEnded, Progressed, Started
from warren.store.gathering import ITEMS_BYTES, gather
from warren.store.history import record
from warren.store.merging import VALUE_LENGTH
from warren.store.places import advance
from warren.store.upkeep import retain

NOW = time.time()
PLACE = "shop.jobs:invoice", "default", 0


def facts() -> list[Fact]:
    call = '{"args":["Ada",1250],"kwargs":{"note":"for \\u001b[31m you"}}'
    names = ("done", "dead", "running", "waiting", "long", "old")
    told: list[Fact] = [
        Enqueued(name, *PLACE, 1, NOW - 100 + at, NOW - 100 + at, call) for at, name in enumerate(names)
    ]
    why = "no such customer", "LookupError", "Traceback\nLookupError: …"
    return [
        *told,
        Ended("done", *PLACE, 1, NOW - 50, JobState.DONE, "w", '{"pages":3}', started_at=NOW - 50.5),
        AttemptEnded("dead", *PLACE, 1, NOW - 60, "w", "retry", "ConnectionError: refused", NOW - 61),
        Ended("dead", *PLACE, 2, NOW - 40, JobState.DEAD, "w", None, "failed", *why),
        Started("running", *PLACE, 1, NOW - 30, "w"),
        Progressed("running", *PLACE, 1, NOW - 10, 1200, 5000),
        Ended("long", *PLACE, 1, NOW - 50, JobState.DONE, "w", "1" * (VALUE_LENGTH + 1)),
        Ended("old", *PLACE, 1, NOW - 5000, JobState.DONE, "w", "1"),
    ]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A history of some jobs, which the commands find by their settings."""
    url = f"sqlite:///{tmp_path / 'warren.db'}"
    database = Database(url)
    database.migrate()
    with database.write() as connection:
        record(connection, gather(facts()), NOW)
        retain(connection, NOW, age=1000, keep=0)
        advance(connection, "t.history", 10, NOW)
    database.close()
    monkeypatch.setenv("WARREN_STORE", url)
    return url


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert run(words) == code
    told = capsys.readouterr()
    return told.out, told.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(answer(capsys, *words, "--json")[0])


def test_jobs_are_listed_from_the_newest_on(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = answer(capsys, "jobs", "list")
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["long", "done"],
        ["waiting", "queued"],
        ["running", "running"],
        ["dead", "dead"],
        ["done", "done"],
    ]
    assert "1,200 of 5,000 (24%)" in lines[3]
    assert "LookupError: no such customer" in lines[4]
    assert "5 jobs shown; the history has 5 jobs: 1 queued, 1 running, 2 done, 1 dead" in err


def test_pages_follow_each_other(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = document(capsys, "jobs", "list", "--limit", "3")
    rest = document(capsys, "jobs", "list", "--limit", "3", "--after", first["next"])
    assert [job["id"] for job in (*first["jobs"], *rest["jobs"])] == ["long", "waiting", "running", "dead", "done"]
    assert rest["next"] is None
    assert first["counts"]["done"] == 2
    assert f"go on with --after {first['next']}" in answer(capsys, "jobs", "list", "--limit", "3")[1]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--state", "dead", "--state", "running"], ["running", "dead"]),
        (["--text", "CUSTOMER"], ["dead"]),
        (["--text", "ada", "--state", "queued"], ["waiting"]),
        (["--task", "shop.*", "--queue", "def*", "--since", "97.5s"], ["long", "waiting"]),
        (["--until", "2020-01-01"], []),
        (["--workflow", "none"], []),
    ],
)
def test_filters_choose(store: str, capsys: pytest.CaptureFixture[str], words: list[str], found: list[str]) -> None:
    since = [f"{time.time() - NOW + 97.5}s" if word == "97.5s" else word for word in words]
    assert [job["id"] for job in document(capsys, "jobs", "list", *since)["jobs"]] == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--text", "ab"], "at least 3 characters"),
        (["--since", "yesterday"], "neither a moment"),
        (["--after", "there"], "is not the end of a page"),
        (["--after", f"1.5~{1 << 70}"], "is not the end of a page"),
        (["--after", "inf~1"], "is not the end of a page"),
        (["--text", "caf\udce9"], "is no text"),
        (["--store", "mysql://here/db"], "sqlite:///FILE"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    store: str, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in answer(capsys, "jobs", "list", *words, code=2)[1]


def test_an_id_that_is_no_text_is_refused(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no text" in answer(capsys, "jobs", "show", "caf\udce9", code=2)[1]


def test_numbers_that_cannot_be_read_here_are_shown_as_they_came(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = "7" * 5_000
    database = Database(store)
    with database.write() as connection:
        record(
            connection,
            gather([Enqueued("huge", *PLACE, 1, NOW, NOW, f'{{"args":[1e999,{digits}],"kwargs":{{}}}}')]),
            NOW,
        )
    database.close()
    assert "1e999, 777" in answer(capsys, "jobs", "list")[0]
    assert f"  1e999\n  {digits}\n" in answer(capsys, "jobs", "show", "huge")[0]
    assert f"[1e999,{digits}]" in answer(capsys, "jobs", "list", "--json")[0]


def test_all_is_shown_of_a_job_and_nothing_plays_tricks(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = answer(capsys, "jobs", "show", "dead")
    for line in ("state     dead", "reason    failed", "  1250", "LookupError: …", "ConnectionError: refused"):
        assert line in out
    assert "warren dead replay dead" in out
    assert "\x1b[31m" not in out


def test_a_job_as_json_has_its_result_and_attempts(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    done, dead = document(capsys, "jobs", "show", "done"), document(capsys, "jobs", "show", "dead")
    assert (done["state"], done["result"], done["args"]) == ("done", {"pages": 3}, ["Ada", 1250])
    assert [(each["attempt"], each["outcome"]) for each in dead["attempts"]] == [(1, "retry"), (2, "dead")]
    assert document(capsys, "jobs", "show", "long")["result_length"] == VALUE_LENGTH + 1


def test_unknown_and_expired_have_exit_codes_of_their_own(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "UNKNOWN" in answer(capsys, "jobs", "show", "nobody", code=8)[1]
    assert "EXPIRED" in answer(capsys, "jobs", "show", "old", code=9)[1]


def test_a_gap_in_the_history_is_told(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    database = Database(store)
    with database.write() as connection:
        advance(connection, "t.history", 500, NOW, missed=120)
    database.close()
    assert "120 messages were dropped before a recorder read them" in answer(capsys, "jobs", "list")[1]
    assert document(capsys, "jobs", "list")["missed"] == 120


def test_a_store_without_anything_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, err = answer(capsys, "jobs", "list", "--store", f"sqlite:///{tmp_path}/none.db", code=1)
    assert "start `warren recorder`" in err
    assert not list(tmp_path.iterdir())


def test_a_store_without_our_tables_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE theirs (a)")
    _, err = answer(capsys, "jobs", "list", "--store", f"sqlite:///{file}", code=1)
    assert "start `warren recorder`" in err


def test_without_the_extra_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['sqlalchemy'] = None; from warren.console.cli import run; sys.exit(run(['jobs', 'list']))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'warren[store]'" in done.stderr
    assert "Traceback" not in done.stderr


# --- other commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(broker: Broker, namespace: str, store: str) -> Warren:
    return Warren(url=broker.url, namespace=namespace, store=store)


def test_results_that_the_broker_has_not_are_those_of_the_history(recorded: Warren) -> None:
    assert recorded.ok("result", "done") == '{"pages":3}\n'
    dead = recorded.json("result", "dead", code=4)
    assert (dead["state"], dead["traceback"]) == ("dead", "Traceback\nLookupError: …")
    waits = recorded("result", "waiting")
    assert (waits.returncode, "it is queued" in waits.stderr) == (3, True)


def test_results_that_are_gone_are_told_from_those_that_never_were(recorded: Warren) -> None:
    assert recorded.json("result", "old", code=9)["kind"] == "ResultExpired"
    assert recorded.json("result", "nobody", "--wait", "0.1", code=8)["kind"] == "JobUnknown"
    assert recorded.json("result", "long", code=9)["kind"] == "ResultExpired"


def test_of_a_chunk_that_was_too_long_no_part_passes_for_the_whole(recorded: Warren) -> None:
    one, huge = {0: msgspec.Raw(b"[1]")}, {1: msgspec.Raw(b'"' + b"x" * ITEMS_BYTES + b'"')}
    failed = {1: ItemFailure("no", "ValueError")}
    database = Database(recorded.environ["WARREN_STORE"])
    with database.write() as connection:
        told: list[Fact] = [Enqueued(name, *PLACE, 1, NOW, NOW, items=2) for name in ("gap", "failed")]
        told += [ItemsEnded(each.id, *PLACE, 1, NOW, one) for each in told]
        told += [Ended("gap", *PLACE, 1, NOW, JobState.DONE, items=huge)]
        told += [Ended("failed", *PLACE, 1, NOW, JobState.DONE, failed=failed)]
        record(connection, gather(told), NOW)
    database.close()
    assert "too long to be kept" in recorded("result", "gap").stderr
    assert recorded.json("result", "gap", code=9)["kind"] == "ResultExpired"
    assert "1 item done, 0 failed; of others the values were too long to be kept" in recorded.ok("jobs", "show", "gap")
    known = recorded.json("result", "failed")
    assert (known["result"], known["item_failures"]["1"]["error_type"]) == ({"0": [1]}, "ValueError")
    assert "1 item failed" in recorded("result", "failed").stderr


def test_cancelling_asks_the_history_of_jobs_that_nobody_else_knows(recorded: Warren) -> None:
    ids = ("done", "waiting", "old", "nobody")
    answers = recorded.json("cancel", *ids, "--wait", "0.1", code=8)
    assert [one["answer"] for one in answers] == ["already done", "cancelled", "already done", "unknown"]
