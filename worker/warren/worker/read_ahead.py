"""How many jobs a worker may hold beyond those that run: as many as it expects to start within 20 ms; pure.

A queue's round trip to the broker takes longer than a very short job. So a worker opens another consumer beside those that its
processes have, for as long as the running mean of what it runs says that nothing waits in it.
Long jobs leave nothing waiting; when the mean was wrong, whoever watches gives back what waits and calls `wrong`.
"""

HORIZON_SECONDS = 0.02
"""What waits in a worker must be expected to start within this time."""
PATIENCE_SECONDS = 0.1
"""When the first that waits has not begun after this, the expectation was wrong. More than the horizon: a busy machine, too,
keeps a process from its job for some 20 ms, and a job that is given back is charged for it before RabbitMQ 4.3."""

_WEIGHT = 0.05
"""Of the newest job in the running mean: some twenty jobs are remembered."""


class ReadAhead:
    """The running mean of a worker's jobs, and what follows from it.

    Args:
        processes: that take the waiting jobs.
        most: jobs that may wait at all; 0 turns it off.
    """

    def __init__(self, processes: int, most: int) -> None:
        self.jobs = 0
        """How many jobs may wait now: the most there may be, or half of it, a quarter and so on, so that it stays as it is for a
        while; or one for each of the first processes that will be free."""
        self.each = 1
        """How many jobs a process may hold now, with the one it runs."""
        self.processes = processes
        self.usable = processes
        """How many of them can run something now: the others start, have died or leave."""
        self.coroutines = 0
        """How many coroutine jobs a process may run at a time; 0 where there are no coroutine tasks."""
        self.mixed = False
        """Whether there are plain tasks as well."""
        self.in_places = 0
        """Coroutine jobs that run now."""
        self._trust = True
        """Whether the next job may be taken for a coroutine's because the last ones were."""
        self._most = most
        self._mean: float | None = None

    @property
    def places(self) -> int:
        """For coroutine jobs, on all event loops together that are there now; never none, so that somebody waits when one is."""
        return max(1, self.usable) * self.coroutines

    @property
    def room(self) -> tuple[int, int]:
        """Processes and places: when they become fewer, there may be more consumers than jobs that can be run."""
        return self.processes, self.places

    @property
    def limit(self) -> int:
        """How many jobs the worker may hold now, running or waiting.

        What a message holds is known when it is there. Where plain tasks can come as well, as many more are taken as coroutine
        jobs are running: so their number doubles while they come, and none is taken that way once a plain one had to wait.
        """
        if self.places and not self.mixed:
            return self.places
        more = max(0, min(self.in_places, self.places - self.in_places)) if self._trust else 0
        return self.processes + self.jobs + self.in_places + more

    def entered(self, running: int) -> None:
        """Take note of how many coroutine jobs are running; more of them bring trust back."""
        self._trust = self._trust or running > self.in_places
        self.in_places = running

    def resize(self, processes: int) -> None:
        """Take note that there is another number of processes."""
        self.processes = processes
        if self._mean is not None:
            self._expect(self._mean)

    def took(self, seconds: float) -> None:
        """Take note of one job's time on its process."""
        self._expect(seconds if self._mean is None else self._mean + _WEIGHT * (seconds - self._mean))

    def wrong(self) -> None:
        """Take note that something waited in vain, as of one very long job: trust comes back over some hundred short ones."""
        self._trust = False
        self._expect(max(self._mean or 0.0, self.processes * HORIZON_SECONDS * 100))

    def _expect(self, mean: float) -> None:
        self._mean = mean
        processes = self.processes
        shortest = processes * HORIZON_SECONDS / self._most if self._most else 0.0
        if mean <= shortest:
            self.jobs = self._most
        elif self._most:
            # Of processes that are anywhere in jobs of this length, the first k are free after k / (processes + 1) of it.
            first = min(processes, int((processes + 1) * HORIZON_SECONDS / mean))
            self.jobs = max(min(first, self._most), self._step(int(processes * HORIZON_SECONDS / mean)))
        self.each = 1 - (-self.jobs // processes)

    def _step(self, jobs: int) -> int:
        step = self._most
        while step > jobs:
            step //= 2
        return step
