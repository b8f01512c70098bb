"""`warren cancel`: what it tells, and its exit codes."""

from pathlib import Path

import pytest
from tests.console.executable import JOBS, Warren
from tests.support import eventually

from warren.job import new_id

pytestmark = pytest.mark.broker


def test_a_job_that_runs_is_told_to_end_and_whoever_waits_hears_by_whom(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path, "--log-level", "debug"):
        job = warren.ok("enqueue", f"{JOBS}:sleep", "600").strip()
        eventually(lambda: "job started" in (tmp_path / "worker.log").read_text())
        said = warren("cancel", job, "--wait", "30")
        assert said.returncode == 0, said.stderr
        assert said.stdout == f"{job}  cancelling: a worker runs it and was told to end it\n"
        waited = warren("result", job, "--wait", "60")
        assert waited.returncode == 5
        assert "was cancelled: `warren cancel` by " in waited.stderr
        again = warren("cancel", job)
        assert again.returncode == 7
        assert f"already done: it had ended before; `warren result {job}` tells how" in again.stdout


def test_a_job_nobody_knows_is_unknown_and_its_tombstone_stands(warren: Warren, tmp_path: Path) -> None:
    job = warren.ok("enqueue", f"{JOBS}:add", "1", "2").strip()
    done = warren("cancel", job, "--wait", "0.1", "--reason", "not needed")
    assert done.returncode == 8
    assert "if there is such a job, it will not run" in done.stdout
    with warren.worker(tmp_path):
        waited = warren("result", job, "--wait", "60")
        assert waited.returncode == 5
        assert "was cancelled: not needed" in waited.stderr


def test_of_several_jobs_each_is_told_and_the_highest_code_counts(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        done, nobody = warren.json("enqueue", f"{JOBS}:add", "1", "--wait", "60")["id"], new_id()
        assert warren.json("cancel", done, "--wait", "0.1", code=7) == [{"id": done, "answer": "already done"}]
        assert warren.json("cancel", done, nobody, done, "--wait", "0.1", code=8) == [
            {"id": done, "answer": "already done"},
            {"id": nobody, "answer": "unknown"},
        ]


def test_all_jobs_of_a_task_can_be_cancelled_but_not_without_being_sure(warren: Warren, tmp_path: Path) -> None:
    job = warren.ok("enqueue", f"{JOBS}:add", "1").strip()
    other = warren.ok("enqueue", f"{JOBS}:echo", "1").strip()
    unsure = warren("cancel", "--task", f"{JOBS}:add")
    assert unsure.returncode == 2
    assert "say --yes" in unsure.stderr
    told = warren.json("cancel", "--task", f"{JOBS}:add", "--yes", "--wait", "0.1")
    assert (told["task"], told["workers"], told["running"], told["withdrawn"]) == (f"{JOBS}:add", 0, [], [])
    later = warren.ok("enqueue", f"{JOBS}:add", "1").strip()
    with warren.worker(tmp_path):
        assert warren("result", job, "--wait", "60").returncode == 5
        assert warren.ok("result", other, "--wait", "60") == "1\n"
        assert warren.ok("result", later, "--wait", "60") == "3\n"
        text = warren("cancel", "--task", f"{JOBS}:add", "--yes", "--wait", "1")
        assert text.returncode == 0
        assert f"cancelled: every job of '{JOBS}:add' that was enqueued before" in text.stdout
        assert "1 worker that answered" in text.stdout
        assert "dropped when they come to a worker" in text.stderr


def test_ids_or_a_task_must_be_named_and_not_both(alone: Warren) -> None:
    for arguments in ((), ("the-id", "--task", "m:f")):
        done = alone("cancel", *arguments)
        assert done.returncode == 2
        assert "name the jobs by ID, or say --task NAME" in done.stderr


def test_where_no_broker_answers_nothing_is_claimed(alone: Warren) -> None:
    done = alone("cancel", new_id())
    assert done.returncode == 1
    assert "no broker could be reached" in done.stderr


def test_what_nobody_can_have_as_an_id_is_unknown_or_refused_in_one_line(warren: Warren) -> None:
    odd = ["ffffffff-ffff-7fff-8fff-ffffffffffff", "00000000-0000-7fff-8fff-ffffffffffff"]
    assert warren.json("cancel", *odd, "--wait", "0.1", code=8) == [{"id": one, "answer": "unknown"} for one in odd]
    for arguments in (["\udcff"], ["an-id", "--reason", "\udcff"], ["--task", "\udcff", "--yes"]):
        done = warren("cancel", *arguments)
        assert done.returncode == 2
        assert done.stderr == "error: '\\udcff' cannot be sent: it is no text in UTF-8\n"


def test_a_time_to_wait_is_a_number(alone: Warren) -> None:
    for arguments in (
        ["cancel", "an-id", "--wait", "nan"],
        ["workers", "list", "--since", "nan"],
        ["result", "x", "--wait", "inf"],
    ):
        done = alone(*arguments)
        assert done.returncode == 2
        assert "is no number of finite size" in done.stderr
        assert "bug" not in done.stderr


def test_a_workflow_is_cancelled_by_a_message_that_waits_for_the_scheduler(warren: Warren) -> None:
    workflow = new_id()
    said = warren.ok("cancel", "--workflow", workflow)
    assert said.startswith(f"{workflow}  asked: the broker keeps it for the scheduler")
    assert warren.json("cancel", "--workflow", workflow) == {"workflow": workflow, "answer": "asked"}
    assert warren("cancel", "--workflow", workflow, workflow).returncode == 2
