"""What starting a workflow gives back: its id for life, and a way to wait for what becomes of it."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from warren.errors import JobCancelled, PayloadTooLarge, WorkflowFailed
from warren.producer.cancelling import REASON
from warren.producer.core import rebuilt
from warren.producer.handles import Waits, WaitsAsync
from warren.producer.inbox import WorkflowSlot
from warren.result import Result
from warren.states import JobState
from warren.workflow.building import Workflow
from warren.workflow.graph import Definition, Node
from warren.workflow.jobs import TASK, NodeFault, Report

R_co = TypeVar("R_co", covariant=True)
Progress = Callable[[int, int], None]
"""Called with nodes that have ended, and nodes in all; of a map its items count."""


class Asks(Protocol):
    """How a handle cancels: the producer's own way to its event loop."""

    def __call__(self, workflow_id: str, /, *, reason: str) -> None: ...


class AsksAsync(Protocol):
    """As `Asks`, awaited."""

    def __call__(self, workflow_id: str, /, *, reason: str) -> Awaitable[None]: ...


class WorkflowHandle(Generic[R_co]):
    """One started workflow.

    Attributes:
        id: the workflow's, a UUIDv7; what `warren result`, `warren workflows` and `producer.handle` take.
    """

    def __init__(self, slot: WorkflowSlot, wait: Waits, cancel: Asks) -> None:
        self.id = slot.job.id
        self._slot = slot
        self._wait = wait
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"<handle of workflow {self.id}>"

    @property
    def progress(self) -> tuple[int, int]:
        """Nodes that have ended, as far as that was heard, and nodes in all."""
        return self._slot.progress

    def result(self, timeout: float | None = None, *, on_progress: Progress | None = None) -> R_co:
        """Wait for the workflow to end and return its result.

        Args:
            timeout: seconds; None waits for ever. The workflow itself is never touched by it.
            on_progress: told whenever something has ended.

        Raises:
            ResultTimeout: not yet.
            WorkflowFailed, JobCancelled: it ended otherwise.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        while not self._slot.complete:
            self._wait(self._slot, None if ends is None else max(0.0, ends - time.monotonic()))
            _tell(self._slot, on_progress)
        return _value(self._slot)  # type: ignore[no-any-return]

    def cancel(self, *, reason: str = REASON) -> None:
        """Cancel the workflow: what waits does not begin, what is enqueued or runs is cancelled. The broker keeps it when this returns.

        Raises:
            PublishError: the broker did not take it.
        """
        self._cancel(self.id, reason=reason)


class AsyncWorkflowHandle(Generic[R_co]):
    """One started workflow; as `WorkflowHandle`, awaited."""

    def __init__(self, slot: WorkflowSlot, wait: WaitsAsync, cancel: AsksAsync) -> None:
        self.id = slot.job.id
        self._slot = slot
        self._wait = wait
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"<handle of workflow {self.id}>"

    @property
    def progress(self) -> tuple[int, int]:
        """Nodes that have ended, as far as that was heard, and nodes in all."""
        return self._slot.progress

    async def result(self, timeout: float | None = None, *, on_progress: Progress | None = None) -> R_co:
        """Wait for the workflow to end and return its result; see `WorkflowHandle.result`."""
        ends = None if timeout is None else time.monotonic() + timeout
        while not self._slot.complete:
            await self._wait(self._slot, None if ends is None else max(0.0, ends - time.monotonic()))
            _tell(self._slot, on_progress)
        return _value(self._slot)  # type: ignore[no-any-return]

    async def cancel(self, *, reason: str = REASON) -> None:
        """Cancel the workflow; see `WorkflowHandle.cancel`."""
        await self._cancel(self.id, reason=reason)


def defined(workflow: Workflow[Any], reply_to: str, payload_limit: int, now: float) -> Definition:
    """Return what is sent to start a workflow.

    Raises:
        InvalidWorkflow: it has no nodes, or too many.
        PayloadTooLarge: the arguments of a node are.
    """
    definition = workflow.definition(now, reply_to)
    for node in definition.nodes.values():
        size = _size(node)
        if size > payload_limit:
            raise PayloadTooLarge(node.task, size, payload_limit)
    return definition


def slot_of(definition: Definition, result_type: Any) -> WorkflowSlot:
    """Return where the result of a workflow will lie; before it is sent."""
    return WorkflowSlot(definition, TASK + definition.name, len(definition.nodes), result_type)


def _size(node: Node) -> int:
    return len(node.task) + sum(map(len, map(bytes, (*node.args, *node.kwargs.values())))) + sum(map(len, node.kwargs))


def _tell(slot: WorkflowSlot, on_progress: Progress | None) -> None:
    if on_progress is not None:
        on_progress(*slot.progress)


def _value(slot: WorkflowSlot) -> Any:
    found = slot.result
    assert found is not None
    match found.state:
        case JobState.DONE:
            return rebuilt(found.id, found.value, slot.result_type)
        case JobState.CANCELLED:
            raise JobCancelled(found.id, found.reason)
        case _:
            raise WorkflowFailed(found.id, found.error or found.reason, _faults(found))


def _faults(found: Result) -> dict[str, str]:
    try:
        report = msgspec.json.decode(found.value, type=Report)
    except msgspec.MsgspecError:  # by a scheduler of another version
        return {}
    return {name: _said(fault) for name, fault in report.failed.items()}


def _said(fault: NodeFault) -> str:
    if fault.error:
        return f"{fault.error_type}: {fault.error}" if fault.error_type else fault.error
    return f"{fault.state}: {fault.why}" if fault.why else str(fault.state)
