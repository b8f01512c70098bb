"""What an operations team does by the clock: a backup every night, old logs every hour, a cache every few minutes.

Each may run twice, or once where it should have run three times, and the folder is as it should be: that is what makes tasks safe
under a schedule. The folder is that of the variable HOUSEKEEPING_FOLDER, by default the current one:

    data/      what the application writes
    logs/      its logs
    backups/   an archive for each day, the last seven of them
    cache/     a summary of the data
"""

import json
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from warren import context
from warren.schedule import every
from warren.task import task

ZONE = "Europe/Paris"
KEPT_BACKUPS = 7
_DAY_SECONDS = 86_400


@every("30 2 * * *", tz=ZONE, name="backup", misfire="run_once", grace=3600, overlap="skip")
@task(timeout=600)
def backup() -> str:
    """Archive the data; of one day there is one archive, with what was there last. Older ones than the last seven go."""
    folder = house()
    archive = folder / "backups" / f"{datetime.now(ZoneInfo(ZONE)).date().isoformat()}.tar.gz"
    with _appearing_whole(archive) as unfinished, tarfile.open(unfinished, "w:gz") as made:
        made.add(folder / "data", arcname="data")
    for old in sorted(archive.parent.glob("*.tar.gz"))[:-KEPT_BACKUPS]:
        old.unlink(missing_ok=True)
    return archive.name


@every(hours=1, name="clean-logs", kwargs={"days": 14}, misfire="skip", overlap="skip")
@task
def clean_logs(days: int) -> list[str]:
    """Remove logs that nobody has written to for so many days; which."""
    before = time.time() - days * _DAY_SECONDS
    old = sorted(path for path in (house() / "logs").glob("*.log") if path.stat().st_mtime < before)
    for path in old:
        path.unlink(missing_ok=True)
    return [path.name for path in old]


@every("*/5 * * * *", name="refresh-cache", misfire="run_once", overlap="skip", jitter=10)
@task(expires=240)
def refresh_cache() -> int:
    """Sum the data up into one small file that pages are made from; how many records that are. Nobody wants a late one."""
    folder = house()
    records = [record for path in sorted((folder / "data").glob("*.json")) for record in json.loads(path.read_text())]
    summary = {"records": len(records), "total": sum(record["amount"] for record in records), "at": time.time()}
    with _appearing_whole(folder / "cache" / "summary.json") as unfinished:
        unfinished.write_text(json.dumps(summary))
    return len(records)


def house() -> Path:
    """Return the folder that is kept."""
    return Path(os.environ.get("HOUSEKEEPING_FOLDER", "."))


@contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """A path to write to; what was written is there under its name at once, or not at all."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{context.job().id}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
