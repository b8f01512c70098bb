"""Runs a workflow whose one branch fails: once it can do without, once it cannot, and is retried when the partner is back.

    python -m examples.etl.demo

Exit code 0 only if both reports are those of the files, what depends on the missing rates was skipped, and the retry ran nothing a
second time that was done. Needs the extra `store`.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from examples.etl.flow import nightly
from examples.etl.tasks import Report
from examples.stage.broker import broker
from examples.stage.daemons import Daemon, daemons, guarded, until, warren
from examples.stage.telling import console, verdict

from warren.errors import WorkflowFailed
from warren.producer import Producer
from warren.settings import Settings
from warren.store import workflows
from warren.store.database import Database
from warren.workflow.states import WorkflowState

_SECONDS = 60.0
_ORDERS = [(1, 10.0), (2, 4.5), (1, 2.5), (3, 7.0), (2, 1.25)]
_CUSTOMERS = {1: "Ada", 2: "Grace", 3: "Hedy"}
_RATE = 1.1
EUROS = {"Ada": 12.5, "Grace": 5.75, "Hedy": 7.0}


@dataclass(frozen=True, slots=True)
class Run:
    """What happened."""

    without: Report
    why: str
    later: dict[str, Any]
    first: dict[str, str]
    second: dict[str, str]
    """The states of both workflows' nodes, by their names."""
    ran: Counter[str]


def main() -> int:
    """Run the demonstration and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="warren-etl-") as name, broker("default") as common:
        folder = Path(name)
        settings = msgspec.structs.replace(common, store=f"sqlite:///{folder / 'warren.db'}")
        _write(folder)
        worker, scheduler = ("worker", "examples.etl.tasks", "--processes", "2"), ("scheduler",)
        with daemons(settings, worker, scheduler, logs=folder) as team, Producer(settings) as producer:
            run = _run(settings, producer, team, folder)
    return _summary(run)


def _write(folder: Path) -> None:
    """Make the files of the shop, with rows that are good for nothing; the partner is away."""
    orders = [f"{customer},{amount}" for customer, amount in _ORDERS]
    (folder / "orders.csv").write_text("\n".join([*orders, ",5.0", "3,"]) + "\n")
    (folder / "customers.csv").write_text("".join(f"{number},  {name} \n" for number, name in _CUSTOMERS.items()))


def _run(settings: Settings, producer: Producer, team: Sequence[Daemon], folder: Path) -> Run:
    console.print("the partner is away, and the report can do without the rates:\n")
    first = producer.start(nightly(str(folder), needs_rates=False))
    without = first.result(_SECONDS)
    warren(settings, "workflows", "show", first.id)

    console.print("the partner is away, and the report needs the rates:\n")
    second, why = producer.start(nightly(str(folder), needs_rates=True)), ""
    try:
        second.result(_SECONDS)
    except WorkflowFailed as failed:
        why = str(failed)
    console.print(f"{why}\n", markup=False)
    warren(settings, "workflows", "show", second.id)

    (folder / "rates.json").write_text(json.dumps({"USD": _RATE}))
    console.print("the partner is back:\n")
    warren(settings, "workflows", "retry", second.id)
    done = until(lambda: _nodes(settings, second.id), "the end of the workflow that is retried", *team)
    warren(settings, "workflows", "show", second.id)
    return Run(
        without,
        why,
        json.loads((folder / "report.json").read_text()),
        _nodes(settings, first.id),
        done,
        Counter((folder / "journal").read_text().split()),
    )


def _nodes(settings: Settings, workflow: str) -> dict[str, str]:
    """The states of a workflow's nodes by their names; nothing while it runs."""
    database = Database(settings.store)
    try:
        with database.read() as connection:
            found = workflows.find(connection, workflow)
    finally:
        database.close()
    assert found is not None
    nodes = {name: str(node.state) for name, node in found.progress.nodes.items()}
    return {} if found.progress.state is WorkflowState.RUNNING else nodes


def _summary(run: Run) -> int:
    """Print what happened and return the exit code."""
    dollars = {name: round(euros * _RATE, 2) for name, euros in EUROS.items()}
    console.print(
        f"without rates: {run.without}\nwith them:     {run.later}\nran:           {dict(run.ran)}", markup=False
    )
    return verdict(
        (
            (
                "the first report is that of the files, without dollars",
                run.without == Report(EUROS, None),
                str(run.without),
            ),
            ("what needs the rates alone was skipped", run.first["publish_rates"] == "skipped", str(run.first)),
            ("the second workflow failed for want of them", "exchange_rates" in run.why, run.why),
            ("retried, it is done, with dollars", run.later == {"euros": EUROS, "dollars": dollars}, str(run.later)),
            ("all of its nodes are done", set(run.second.values()) == {"done"}, str(run.second)),
            ("what was done ran once in each workflow", run.ran["extract"] == 2, str(run.ran)),  # noqa: PLR2004
        )
    )


if __name__ == "__main__":
    sys.exit(guarded(main))
