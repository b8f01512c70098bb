"""Where one case runs: which broker, which names on it, under which conditions; handed to every process that plays a part."""

import json
import os
from dataclasses import asdict, dataclass

_VARIABLE = "BENCH_SITE"


@dataclass(frozen=True, slots=True)
class Site:
    """The place and the conditions of one case.

    Args:
        url: the broker.
        space: prefix of every name on it, used by this case alone.
        folder: where jobs leave their marks.
        broker_pid: the broker's process, whose CPU time is read.
        processes: of a worker.
        prefetch: deliveries that one worker process may hold; None for what the system does when nobody says.
        coroutines: that run at a time in a worker process, where the case is about them.
        classic: a durable classic queue instead of a quorum queue.
    """

    url: str
    space: str
    folder: str
    broker_pid: int
    processes: int = 2
    prefetch: int | None = 1
    classic: bool = False
    coroutines: int = 0

    @property
    def queue_type(self) -> str:
        return "classic" if self.classic else "quorum"

    def environ(self) -> dict[str, str]:
        """What a process that plays a part is given."""
        return {**os.environ, _VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def here(cls) -> "Site":
        """The site that this process was started for."""
        return cls(**json.loads(os.environ[_VARIABLE]))
