"""Makes thumbnails of a folder of pictures; those that somebody waits for overtake the others, and one file is no picture.

    python -m examples.thumbnails.demo [PICTURES]

Needs Pillow. Exit code 0 only if every picture has a good thumbnail, what is no picture is a dead letter and held up nothing, the
urgent ones went first (where the broker knows priorities), and nothing is left in the queue.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.stage.broker import broker, version
from examples.stage.daemons import daemons, guarded
from examples.stage.leftovers import messages_left
from examples.stage.telling import Show, console, progress, verdict
from examples.thumbnails.pictures import make_pictures, side_by_side
from examples.thumbnails.tasks import URGENT, Made, thumbnail
from PIL import Image

from warren.errors import JobFailed
from warren.producer import Handle, Producer
from warren.settings import Settings

PICTURES, URGENT_ONES, SIZE, SHOWN = 200, 8, 96, 6
_SECONDS = 60.0
_PRIORITIES_SINCE = (4, 0)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a folder of pictures."""

    bulk: list[Made]
    urgent: list[Made]
    refused: str

    @property
    def waited(self) -> int:
        """How many of the bulk had begun when the last of the urgent ones began; those were enqueued after the whole bulk."""
        last = max(made.began for made in self.urgent)
        return sum(made.began < last for made in self.bulk)


def main(pictures: int = PICTURES) -> int:
    """Run the demonstration and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="warren-thumbnails-") as name, broker("thumbnails") as settings:
        folder = Path(name)
        sources = _sources(folder, pictures)
        with Producer(settings) as producer:
            run = _run(producer, settings, sources, folder)
        left, known = messages_left(settings), version(settings) >= _PRIORITIES_SINCE
        wrong = [path for path in sources if not _is_good(path, folder / "small" / f"{path.stem}.png")]
        if console.is_terminal:
            console.print(side_by_side([Path(made.path) for made in run.bulk[:: max(1, pictures // SHOWN)]][:SHOWN]))
    return _summary(run, wrong, left, priorities=known)


def _sources(folder: Path, number: int) -> list[Path]:
    (folder / "small").mkdir()
    console.print(f"drawing {number} pictures")
    return make_pictures(folder, number)


def _run(producer: Producer, settings: Settings, sources: list[Path], folder: Path) -> Run:
    """Enqueue the bulk, then what is urgent, and only then start a worker: so it is seen who goes first."""
    broken = folder / "broken.jpg"
    broken.write_text("this is no picture")
    small, urgent = str(folder / "small"), sources[-URGENT_ONES:]
    handles = producer.enqueue_many(thumbnail.call(str(path), small, SIZE) for path in sources[:-URGENT_ONES])
    refused = producer.enqueue(thumbnail, str(broken), small, SIZE)
    quick = [producer.enqueue(thumbnail.options(priority=URGENT), str(path), small, SIZE) for path in urgent]
    console.print(f"enqueued {len(handles)} pictures, a file that is none, then {len(quick)} urgent pictures")
    with _worker(settings, folder):
        with progress("making thumbnails", "thumbnails", len(sources)) as show:
            made = [_shown(handle, show, done) for done, handle in enumerate([*handles, *quick], 1)]
        return Run(made[: len(handles)], made[len(handles) :], _complaint(refused))


@contextmanager
def _worker(settings: Settings, folder: Path) -> Iterator[None]:
    command = ("worker", "examples.thumbnails.tasks", "--queue", "thumbnails", "--processes", "2")
    with daemons(settings, command, logs=folder):
        yield


def _shown(handle: Handle[Made], show: Show, done: int) -> Made:
    made = handle.result(timeout=_SECONDS)
    show(done)
    return made


def _complaint(handle: Handle[Made]) -> str:
    try:
        handle.result(timeout=_SECONDS)
    except JobFailed as failed:
        return failed.error
    return ""


def _is_good(source: Path, small: Path) -> bool:
    """Whether the thumbnail is there, fits, and has the picture's proportions."""
    if not small.is_file():
        return False
    with Image.open(source) as large, Image.open(small) as little:
        wanted = SIZE / max(large.size)
        return all(abs(long * wanted - short) <= 1 for long, short in zip(large.size, little.size, strict=True))


def _summary(run: Run, wrong: list[Path], left: dict[str, int], *, priorities: bool) -> int:
    """Print what happened and return the exit code."""
    began = sorted(made.began for made in (*run.bulk, *run.urgent))
    console.print(f"thumbnails: {len(began)} in {began[-1] - began[0]:.1f} s, by two processes")
    console.print(f"urgent:     enqueued last; {run.waited} of {len(run.bulk)} others went before the last of them")
    console.print(f"dead:       {run.refused}", markup=False)
    checks = [
        ("every picture has a thumbnail of its shape", not wrong, ", ".join(path.name for path in wrong[:3])),
        ("what is no picture is the one dead letter", bool(run.refused), "it is not"),
    ]
    if priorities:
        checks.append(("the urgent ones went first", run.waited < len(run.bulk) / 2, "they waited"))
    else:
        console.print("(this RabbitMQ is older than 4.0: its quorum queues know no priorities, so nobody overtakes)")
    dead = {name: count for name, count in left.items() if not (name.endswith(".dead") and count == 1)}
    return verdict([*checks, ("nothing else left in any queue", not dead, str(dead))])


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(*map(int, sys.argv[1:2]))))
