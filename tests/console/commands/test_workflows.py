"""`warren workflows` on a store in a file; what is said to a scheduler goes to a broker in memory, where nobody hears it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.console.executable import Warren

from warren.conductor.ledger import Ledger
from warren.conductor.reading import Happened, Submitted
from warren.console.cli import run
from warren.states import JobState
from warren.store.database import Database
from warren.workflow.graph import Definition, Graph, MapSpec, Node, job_id
from warren.workflow.machine import CancelAsked, Ended
from warren.workflow.states import OnFailure


@pytest.fixture
def warren(tmp_path: Path) -> Warren:
    """The executable on a store with a workflow that failed, one that runs, and one that is done."""
    url = f"sqlite:///{tmp_path / 'warren.db'}"
    database = Database(url)
    database.migrate()
    ledger = Ledger(database, 10_000)
    for number, name in enumerate(("failed", "running", "done")):
        nodes = {"a": Node("t:a"), "b": Node("t:b", after={"a": OnFailure.FAIL})}
        if name == "done":
            del nodes["b"]
        workflow = f"0199{number}-{name}"
        definition = Definition(workflow, f"the {name} one", nodes, created_at=1_700_000_000.0 + number)
        ledger.hear([Submitted(Graph.of(definition))], 1_700_000_000.0)
        if name != "running":
            state = JobState.DEAD if name == "failed" else JobState.DONE
            end = Ended("a", job_id(workflow, "a", 1), state, 0.0, error="no such file", error_type="OSError")
            ledger.hear([Happened(workflow, end)], 1_700_000_005.0)
    nodes = {"m": Node("t:m", map=MapSpec("r")), "r": Node("t:r", after={"m": OnFailure.FAIL})}
    mapped = Definition("0188-map", "a map", nodes, created_at=1_600_000_000.0)
    ledger.hear([Submitted(Graph.of(mapped)), Happened("0188-map", CancelAsked("x", 0.0))], 1_600_000_005.0)
    database.close()
    return Warren(url="memory://nobody", store=url)


def test_workflows_are_listed_the_newest_first_and_by_state_and_name(warren: Warren) -> None:
    found = warren.json("workflows")
    assert [one["name"] for one in found] == ["the done one", "the running one", "the failed one", "a map"]
    assert found[2]["why"] == "node 'a' failed: OSError: no such file"
    text = warren.ok("workflows", "list", "--state", "failed", "--name", "FAIL")
    assert text.splitlines()[1:] == ["01990-failed  failed  2/2    11-14 22:13:20  the failed one"]


def test_one_is_drawn_by_the_beginning_of_its_id(warren: Warren) -> None:
    done = warren("workflows", "show", "01990")
    assert "└" not in done.stdout
    for expected in ("failed", "──✗ a  failed", "OSError: no such file", "──⊘ b  cancelled  after a"):
        assert expected in done.stdout
    assert "`warren workflows retry 01990-failed`" in done.stderr
    nodes: list[dict[str, Any]] = warren.json("workflows", "show", "01990")["nodes"]
    assert [(node["name"], node["state"], node["job"]) for node in nodes] == [
        ("a", "failed", job_id("01990-failed", "a", 1)),
        ("b", "cancelled", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "x"), "no workflow 'x' is in the store"),
        (("show", "0199"), "several workflows begin with '0199'"),
        (("retry", "01991"), "workflow 01991-running is running"),
        (("retry", "01992"), "there is nothing to retry"),
        (("retry", "0188"), "nobody has the items of map 'm' any more"),
        (("cancel", "01992"), "has ended: it is done"),
    ],
)
def test_what_cannot_be_meant_is_said(
    warren: Warren,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WARREN_STORE", warren.environ["WARREN_STORE"])
    assert run(["workflows", *arguments, "--json"]) == 1
    assert said in json.loads(capsys.readouterr().out)["error"]


def test_of_a_map_that_cannot_be_retried_no_retry_is_proposed(warren: Warren) -> None:
    shown = warren("workflows", "show", "0188")
    assert "it cannot be retried" in shown.stderr
    assert "workflows retry" not in shown.stderr


def test_what_is_said_stands_where_no_scheduler_hears_it_and_that_is_told(warren: Warren) -> None:
    assert "does `warren scheduler` run" in warren.ok("workflows", "retry", "01990", "--wait", "0")
