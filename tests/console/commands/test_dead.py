"""`warren dead`: real dead letters of real workers, listed, shown, replayed, dropped."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.console.executable import JOBS, Warren, publish
from tests.console.warm import ROOT
from tests.support import Broker, eventually

pytestmark = pytest.mark.broker

LEAST = {
    "id", "task", "queue", "reason", "error", "attempts", "crashes", "signal", "worker", "enqueued_at", "died_at",
}  # fmt: skip


def letters(warren: Warren, *filters: str) -> list[dict[str, Any]]:
    found = warren.json("dead", "list", *filters)
    assert isinstance(found, list)
    return found


def wait_for(warren: Warren, count: int) -> list[dict[str, Any]]:
    eventually(lambda: len(letters(warren)) == count, message=f"{count} dead letters")
    return letters(warren)


def test_a_namespace_without_dead_letters_is_an_empty_list(warren: Warren) -> None:
    assert letters(warren) == []
    done = warren("dead", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no dead letters" in done.stderr
    assert warren.json("dead", "replay", "--all") == {"replayed": [], "failed": []}


def test_letters_of_every_reason_are_listed_with_their_evidence(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    warren.ok("enqueue", f"{JOBS}:add", "1", "--expires", "0.001")
    with warren.worker(tmp_path, "--name", "w1"):
        for arguments in (("fail", "no disk"), ("crash",), ("give_up", "hopeless"), ("add", "text")):
            warren("enqueue", f"{JOBS}:{arguments[0]}", *arguments[1:])
        warren.ok("enqueue", "nobody:knows")
        publish(broker.url, f"{namespace}.jobs", "default", b"", b"\x00\xffbinary", b'{"task": "m:t", "extra": 1}')
        found = wait_for(warren, 9)
    assert all(set(one) >= LEAST for one in found)
    assert sorted(one["reason"] for one in found) == [
        "crashed", "expired", "failed", "failed", "invalid_arguments",
        "undecodable", "undecodable", "undecodable", "unknown_task",
    ]  # fmt: skip
    by_reason = {one["reason"]: one for one in found}
    crashed = by_reason["crashed"]
    assert (crashed["signal"], crashed["crashes"], crashed["exit_code"]) == (9, 1, None)
    assert (crashed["worker"], crashed["task"], crashed["args"]) == ("w1", f"{JOBS}:crash", [])
    assert by_reason["undecodable"]["body_preview"] is not None
    assert found == sorted(found, key=lambda one: str(one["died_at"]))
    assert [one["error"] for one in letters(warren, "--reason", "failed", "--task", "*:fail")] == ["no disk"]
    assert len(letters(warren, "--queue", "other*")) == 0
    assert len(letters(warren, "--limit", "2")) == 2
    text = warren("dead", "list")
    assert all(one["id"] in text.stdout for one in found)
    assert "9 dead letters" in text.stderr


def test_a_letter_is_shown_with_its_traceback_and_arguments(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        job = warren.json("enqueue", f"{JOBS}:fail", "no disk", "--wait", "60", code=4)["id"]
    text = warren.ok("dead", "show", job)
    for expected in ("ValueError: no disk", "raise ValueError(why)", "'no disk'", "tests.jobs:fail", "dead replay"):
        assert expected in text
    document = warren.json("dead", "show", job)
    assert (document["id"], document["args"], document["others"]) == (job, ["no disk"], 0)
    assert "raise ValueError(why)" in document["traceback"]


def test_a_letter_that_is_not_there_is_told(warren: Warren) -> None:
    for arguments in (("dead", "show", "nix"), ("dead", "replay", "nix"), ("dead", "drop", "nix")):
        done = warren(*arguments)
        assert done.returncode == 1
        assert "there is no dead letter 'nix'" in done.stderr
    assert warren.json("dead", "show", "nix", code=1)["kind"] == "NotFound"
    assert warren.json("dead", "drop", "nix", code=1)["failed"][0]["id"] == "nix"


def test_a_replayed_job_succeeds_under_its_old_id_once_the_cause_is_gone(warren: Warren, tmp_path: Path) -> None:
    needed = tmp_path / "needed"
    with warren.worker(tmp_path):
        job = warren.json("enqueue", f"{JOBS}:need", str(needed), "--wait", "60", code=4)["id"]
        needed.write_text("here")
        assert warren.json("dead", "replay", job) == {"replayed": [job], "failed": []}
        eventually(lambda: warren("result", job).stdout == "here\n", message="it ran again under its id")
    assert letters(warren) == []


def test_a_job_that_dies_again_counts_its_replays(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        job = warren.json("enqueue", f"{JOBS}:fail", "--wait", "60", code=4)["id"]
        warren.ok("dead", "replay", "--all", "--reason", "failed")
        again = eventually(lambda: [one for one in letters(warren) if one["replays"] == 1])
    assert (again[0]["id"], again[0]["attempts"]) == (job, 1)


def test_the_undecodable_cannot_be_replayed_and_the_others_are(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with warren.worker(tmp_path):
        publish(broker.url, f"{namespace}.jobs", "default", b"no job")
        warren("enqueue", "nobody:knows", "--wait", "60")
        bad = next(one["id"] for one in wait_for(warren, 2) if one["reason"] == "undecodable")
    done = warren("dead", "replay", "--all")
    assert done.returncode == 1
    assert f"error: {bad}: it is no job (undecodable)" in done.stderr
    assert "replayed 1 dead letter" in done.stderr
    assert [one["id"] for one in letters(warren)] == [bad]
    assert warren.json("queues", "default")["queues"][0]["ready"] == 1


def test_a_rate_and_a_limit_hold_a_replay_back(warren: Warren, broker: Broker, namespace: str) -> None:
    warren.ok("topology", "apply")
    bodies = [json.dumps({"task": "m:t", "args": [number]}).encode() for number in range(12)]
    publish(broker.url, f"{namespace}.dead", "default", *bodies)
    started = time.monotonic()
    assert len(warren.json("dead", "replay", "--all", "--rate", "10", "--limit", "6")["replayed"]) == 6
    assert time.monotonic() - started >= 0.5
    assert len(letters(warren)) == 6
    assert warren.json("queues", "default")["queues"][0]["ready"] == 6


def test_dropping_all_needs_a_yes_where_nobody_can_be_asked(warren: Warren, broker: Broker, namespace: str) -> None:
    warren.ok("topology", "apply")
    publish(broker.url, f"{namespace}.dead", "default", b'{"task": "a:a"}', b'{"task": "b:b"}', b"no job")
    asked = warren("dead", "drop", "--all")
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert len(letters(warren)) == 3
    assert len(warren.json("dead", "drop", "--all", "--task", "a:*", "--yes")["dropped"]) == 1
    assert "dropped 2 dead letters" in warren("dead", "drop", "--all", "--yes").stderr
    assert letters(warren) == []


def test_at_a_terminal_dropping_all_asks_first(warren: Warren, broker: Broker, namespace: str) -> None:
    warren.ok("topology", "apply")
    publish(broker.url, f"{namespace}.dead", "default", b'{"task": "a:a"}', b'{"task": "b:b"}')
    for said, code, left in (("n", 1, 2), ("y", 0, 0)):
        terminal, ours = pty.openpty()
        os.write(terminal, f"{said}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "warren", "dead", "drop", "--all"],
            cwd=ROOT,
            env=warren.environ,
            stdin=ours,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        os.close(terminal)
        os.close(ours)
        assert done.returncode == code
        assert "Drop 2 dead letters for good?" in done.stderr
        assert len(letters(warren)) == left


def test_dropping_by_id_needs_no_yes(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        job = warren.json("enqueue", f"{JOBS}:fail", "--wait", "60", code=4)["id"]
    assert warren.json("dead", "drop", job) == {"dropped": [job], "failed": []}
    assert letters(warren) == []


@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_which_letters_are_meant_must_be_said(alone: Warren, verb: str) -> None:
    for arguments in ((), ("--all", "some-id"), ("--reason", "failed")):
        done = alone("dead", verb, *arguments)
        assert done.returncode == 2
        assert "--all" in done.stderr


def test_a_thousand_letters_are_read_to_the_last(warren: Warren, broker: Broker, namespace: str) -> None:
    warren.ok("topology", "apply")
    bodies = [json.dumps({"task": "m:t", "args": [number]}).encode() for number in range(1200)]
    publish(broker.url, f"{namespace}.dead", "default", *bodies)
    for _ in range(2):
        found = letters(warren, "--limit", "5000")
        assert sorted(one["args"][0] for one in found) == list(range(1200))
    assert "1,000 of 1,200 dead letters" in warren("dead", "list").stderr
