"""`warren enqueue` and `warren result`: a job's way, seen from the command line."""

from pathlib import Path

import pytest
from tests.console.executable import JOBS, Warren

pytestmark = pytest.mark.broker


def test_an_id_is_printed_and_the_result_found_later(warren: Warren, tmp_path: Path) -> None:
    job = warren.ok("enqueue", f"{JOBS}:add", "20", "22").strip()
    assert warren.json("enqueue", f"{JOBS}:add", "1", "2")["id"] != job
    with warren.worker(tmp_path):
        assert warren.ok("result", job, "--wait", "60") == "42\n"
        document = warren.json("result", job)
        assert (document["id"], document["state"], document["result"]) == (job, "done", 42)
        assert document["attempt"] == 1


def test_arguments_are_json_or_text(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        for word, printed in (("cat.png", "cat.png\n"), ('{"a": [1, null]}', '{"a":[1,null]}\n'), ('"5"', "5\n")):
            assert warren.ok("enqueue", f"{JOBS}:echo", "--wait", "60", word) == printed
        assert warren.ok("enqueue", "--wait", "60", f"{JOBS}:echo", "--", "-5") == "-5\n"
        named = warren.json("enqueue", f"{JOBS}:add", "--kwargs", '{"a": 1, "b": 2}', "--wait", "60")
        assert named["result"] == 3
        assert set(named) == {"id", "result"}


def test_every_end_of_a_job_has_its_own_message_and_exit_code(warren: Warren, tmp_path: Path) -> None:
    expired = warren.ok("enqueue", f"{JOBS}:add", "1", "--expires", "0.001").strip()
    with warren.worker(tmp_path):
        dead = warren("enqueue", f"{JOBS}:fail", "no disk", "--wait", "60")
        assert dead.returncode == 4
        assert "dead letter (failed): ValueError: no disk" in dead.stderr
        crashed = warren.json("enqueue", f"{JOBS}:crash", "--wait", "60", code=4)
        assert (crashed["kind"], crashed["reason"]) == ("JobFailed", "crashed")
        cancelled = warren("enqueue", f"{JOBS}:cancel", "not needed", "--wait", "60")
        assert cancelled.returncode == 5
        assert "cancelled: not needed" in cancelled.stderr
        gone = warren("result", expired, "--wait", "60")
        assert gone.returncode == 6
        assert "expired" in gone.stderr
        assert warren.json("result", expired, code=6)["state"] == "expired"


def test_a_dead_letters_result_says_how_to_look_at_it(warren: Warren, tmp_path: Path) -> None:
    job = warren.ok("enqueue", f"{JOBS}:fail").strip()
    with warren.worker(tmp_path):
        done = warren("result", job, "--wait", "60")
    assert done.returncode == 4
    assert f"warren dead show {job}" in done.stderr
    document = warren.json("result", job, code=4)
    assert (document["state"], document["reason"], document["kind"]) == ("dead", "failed", "JobFailed")
    assert "ValueError" in document["traceback"]


def test_no_result_yet_is_exit_code_3_at_once_and_in_time(warren: Warren) -> None:
    job = warren.ok("enqueue", f"{JOBS}:add", "1").strip()
    at_once = warren("result", job)
    assert at_once.returncode == 3
    assert f"job {job} has no result" in at_once.stderr
    in_time = warren.json("result", job, "--wait", "0.2", code=3)
    assert (in_time["kind"], in_time["id"]) == ("ResultTimeout", job)
    waited = warren("enqueue", f"{JOBS}:add", "1", "--wait", "0.2")
    assert waited.returncode == 3
    assert waited.stdout == ""


def test_waiting_for_what_is_never_published_is_refused(warren: Warren) -> None:
    done = warren("enqueue", f"{JOBS}:add", "1", "--no-result", "--wait", "5")
    assert done.returncode == 1
    assert "result=False" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--priority", "12"), "priority=12"),
        (("--delay", "-1"), "delay=-1"),
        (("--at", "2030-01-01T00:00:00"), "no time zone"),
        (("--at", "soon"), "no moment"),
        (("--delay", "5", "--at", "2030-01-01T00:00:00Z"), "both delay and at"),
        (("--kwargs", "[1]"), "no JSON object"),
        (("--queue", "a b"), "not a usable name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_impossible_options_are_usage_errors(alone: Warren, options: tuple[str, ...], said: str) -> None:
    done = alone("enqueue", "m:t", *options)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_delayed_job_waits_in_the_broker(warren: Warren) -> None:
    warren.ok("enqueue", f"{JOBS}:add", "1", "--delay", "3600")
    warren.ok("enqueue", f"{JOBS}:add", "1", "--at", "2026-12-30T00:00:00+01:00", "--queue", "default")
    assert warren.json("queues", "default")["queues"][0]["ready"] == 0
