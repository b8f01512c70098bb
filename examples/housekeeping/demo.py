"""Runs the housekeeping of a small folder by the clock: two schedulers, of which the leading one is killed, and a worker.

    python -m examples.housekeeping.demo

Exit code 0 only if what was run by hand twice was done once, the schedule made at run time went on under the other scheduler and
fired no moment twice, and the folder is as it should be. Needs the extra `store`.
"""

import json
import os
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from examples.housekeeping.tasks import ZONE, refresh_cache
from examples.stage.broker import broker
from examples.stage.daemons import Daemon, daemons, guarded, until, warren
from examples.stage.telling import console, verdict

from warren.schedule import every, of_plan
from warren.scheduler import Schedules
from warren.settings import Settings
from warren.store.database import Database
from warren.store.schedules import Fire, FireState

MODULE = "examples.housekeeping.tasks"
OFTEN = "refresh-every-second"
_RECORDS, _OLD_LOGS, _NEW_LOGS = 300, 3, 2
_FIRES = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What happened."""

    folder: Path
    fires: list[Fire]
    """Of the schedule made at run time, the oldest first."""
    takeover_seconds: float
    days: set[str]
    """Of the backups: two, if it has been midnight."""

    @property
    def holes(self) -> list[float]:
        """Between which neighbours more or less than a second lies, after the older one."""
        dues = [fire.due for fire in self.fires if not fire.manual]
        return [one for one, other in pairwise(dues) if round(other - one) != 1]


def main(refreshes: int = 5) -> int:
    """Run the demonstration and return its exit code."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warren-housekeeping-")))
        settings = stack.enter_context(broker("default"))
        settings = msgspec.structs.replace(settings, store=f"sqlite:///{folder / 'warren.db'}")
        _fill(folder)
        worker, scheduler = ("worker", MODULE, "--processes", "1"), ("scheduler", MODULE)
        house = {"HOUSEKEEPING_FOLDER": str(folder)}
        team = stack.enter_context(daemons(settings, worker, scheduler, scheduler, logs=folder, environ=house))
        database = Database(settings.store)
        stack.callback(database.close)
        run = _run(settings, Schedules(database), team, folder, refreshes)
        return _summary(run)


def _fill(folder: Path) -> None:
    """Make what is to be kept: data, logs of which some are old."""
    for name in ("data", "logs"):
        (folder / name).mkdir()
    records = [{"customer": number % 17, "amount": number} for number in range(_RECORDS)]
    (folder / "data" / "orders.json").write_text(json.dumps(records))
    for number in range(_OLD_LOGS + _NEW_LOGS):
        log = folder / "logs" / f"app-{number}.log"
        log.write_text("started\n")
        age = 30 * 86_400 if number < _OLD_LOGS else 0
        os.utime(log, (time.time() - age, time.time() - age))


def _run(settings: Settings, schedules: Schedules, team: list[Daemon], folder: Path, refreshes: int) -> Run:
    worker, *schedulers = team
    warren(settings, "schedules", "list")
    warren(settings, "schedules", "show", "backup")
    for name in ("backup", "backup", "clean-logs"):
        schedules.run(name)
    until(lambda: _ended(schedules, "backup", 2) and _ended(schedules, "clean-logs", 1), "what was run now", *team)
    console.print("run now: backup twice, clean-logs once")

    schedules.add(of_plan(every(seconds=1, name=OFTEN, misfire="run_all"), refresh_cache))
    until(lambda: _ended(schedules, OFTEN, refreshes), f"{refreshes} refreshes", *team)
    leader, other = sorted(schedulers, key=_leads, reverse=True)
    killed = time.time()
    leader.program.kill()
    console.print(f"{refreshes} refreshes by the second; now the leading scheduler is killed with SIGKILL")
    until(lambda: _last(schedules) > killed, "a fire by the other scheduler", worker, other)
    took = time.time() - killed
    until(lambda: _ended(schedules, OFTEN, 2 * refreshes), "more refreshes", worker, other)
    schedules.pause(OFTEN)
    days = {_day(fire) for fire in schedules.fired("backup", _FIRES)}
    return Run(folder, list(reversed(schedules.fired(OFTEN, _FIRES))), took, days)


def _ended(schedules: Schedules, name: str, number: int) -> bool:
    """Whether so many jobs of a schedule are done."""
    return sum(fire.state is FireState.DONE for fire in schedules.fired(name, _FIRES)) >= number


def _day(fire: Fire) -> str:
    """Of which day the backup is that this made, in the zone that it goes by."""
    return datetime.fromtimestamp(fire.ended_at or fire.due, ZoneInfo(ZONE)).date().isoformat()


def _last(schedules: Schedules) -> float:
    """When a job of the frequent schedule was published last."""
    return max(fire.published_at or 0.0 for fire in schedules.fired(OFTEN, _FIRES))


def _leads(scheduler: Daemon) -> bool:
    with urllib.request.urlopen(scheduler.metrics_url, timeout=5) as answer:  # noqa: S310 - our own scheduler
        return b"warren_leading 1.0" in answer.read()


def _summary(run: Run) -> int:
    """Print what happened and return the exit code."""
    archives = sorted(path.name for path in (run.folder / "backups").iterdir())
    logs = sorted(path.name for path in (run.folder / "logs").iterdir())
    summary = json.loads((run.folder / "cache" / "summary.json").read_text())
    twice = len(run.fires) - len({fire.due for fire in run.fires})
    console.print(f"backups:    {', '.join(archives)}")
    console.print(f"logs:       {', '.join(logs)}")
    console.print(f"cache:      {summary['records']} records, total {summary['total']}")
    console.print(
        f"fires:      {len(run.fires)} of the schedule by the second; after the kill the next came within {run.takeover_seconds:.1f} s"
    )
    return verdict(
        (
            (
                "two backups of one day are one archive",
                {f"{day}.tar.gz" for day in run.days} == set(archives),
                str(archives),
            ),
            ("old logs are gone, new ones are there", len(logs) == _NEW_LOGS, str(logs)),
            ("the cache is that of the data", summary["records"] == _RECORDS, str(summary)),
            ("no moment fired twice", not twice, f"{twice} did"),
            ("no moment was left out", not run.holes, f"after {run.holes}"),
        )
    )


if __name__ == "__main__":
    sys.exit(guarded(main))
