"""What a worker does when it hears that jobs are cancelled: it remembers it, and ends those that it has."""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from warren.control import CancelJobs, CancelTask, Held, ResultsTold
from warren.job import Job
from warren.worker.control import Control
from warren.worker.execution import Execution, Runner
from warren.worker.tombstones import Tombstone


class Cancelling:
    """Has cancellations heard and obeyed.

    Args:
        runner: holds jobs against what is remembered, when they arrive and before they are tried again.
        cancel: has executions end, and tells what there were.
    """

    def __init__(self, runner: Runner, cancel: Callable[[Callable[[Execution], bool]], Held]) -> None:
        self._runner = runner
        self._tombstones = runner.tombstones
        self._cancel = cancel

    def listen(self, control: Control) -> None:
        """Hear what concerns cancelling."""
        control.on(CancelJobs, self._jobs)
        control.on(CancelTask, self._task)
        control.on(ResultsTold, self._told)

    def _jobs(self, command: CancelJobs) -> Held:
        self._tombstones.add_jobs(command.ids, Tombstone(command.at, command.reason))
        return self._end(ids=frozenset(command.ids))

    def _task(self, command: CancelTask) -> Held:
        self._tombstones.add_task(command.task, Tombstone(command.at, command.reason))
        return self._end(task=command.task)

    def _told(self, command: ResultsTold) -> None:
        self._tombstones.add_told(command.ids)

    def _end(self, ids: Collection[str] = (), task: str = "") -> Held:
        return self._cancel(
            lambda execution: (execution.key[0] in ids or execution.task == task) and self._is_cancelled(execution)
        )

    def _is_cancelled(self, execution: Execution) -> bool:
        """What is read again after a reconnect may be older than a replay of the job."""
        if not execution.task:
            return False  # no job, but a message that is being buried
        job = self._runner.accept(execution.delivery.message, execution.queue)
        if not isinstance(job, Job):
            return False
        # One that came without an id was given its own when it came.
        return self._tombstones.of(replace(job, id=execution.key[0])) is not None
