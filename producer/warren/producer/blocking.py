"""The producer for everybody else, on pika: safe from any thread, safe after a fork, alive while the application is idle or busy."""

import asyncio
import functools
import itertools
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from warren.producer.cancelling import ANSWER_SECONDS, REASON, Cancellation, TaskCancellation
from warren.producer.client import Client
from warren.producer.core import AnyTask, Outgoing
from warren.producer.handles import Handle, MapHandle
from warren.producer.hosting import Host
from warren.producer.inbox import AnySlot, ChunkSlot, Slot
from warren.producer.map_reduce import FAN_IN, NOT_ENQUEUED, Chunks, spec_of
from warren.producer.runs import Composed
from warren.producer.workflows import WorkflowHandle
from warren.result import Result
from warren.settings import Settings, load
from warren.task import Call, NamedTask, Task
from warren.workflow.building import Workflow

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
B = TypeVar("B")

_BATCH = 250
"""Chunks of a map composed here, in the caller's thread, before the I/O thread is given them."""


class Producer:
    """Enqueues jobs and waits for their results, from any thread.

    One for the life of the application: `with Producer() as producer`, or a module-level one that connects when first used.

    Args:
        settings: all settings; else they come from `changes`, `WARREN_*` and `warren.toml` (see `warren.settings.Settings`).
        changes: single settings by name, as `url=...`.

    Raises:
        InvalidSettings: with every problem found.
    """

    def __init__(self, settings: Settings | None = None, **changes: Any) -> None:
        self._host = Host(settings or load(**changes))
        # At the latest when the process ends.
        weakref.finalize(self, self._host.close)

    def __enter__(self) -> Self:
        self._host.call(Client.reach)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; results not waited for yet can be asked for by id later."""
        self._host.close()

    @overload
    def enqueue(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...
    @overload
    def enqueue(self, task: NamedTask | str, /, *args: object, **kwargs: object) -> Handle[Any]: ...
    def enqueue(self, task: Task[..., Any] | NamedTask | str, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Enqueue one job: it is confirmed, on disk by the broker's rules, when this returns.

        Args:
            task: a task, `task.options(...)`, or a task's name (`warren.task.named` for one with options).
            args: the task's arguments, checked against its annotations before anything is sent.
            kwargs: likewise.

        Raises:
            InvalidArguments, PayloadTooLarge: nothing was sent.
            PublishError: BrokerUnavailable, BrokerBlocked, Unroutable or PublishRefused, within `publish_timeout`.
        """
        client = self._host.client
        outgoing = client.compose(task, args, kwargs)
        handle = self._handle(client.expect(outgoing))
        self._host.send(outgoing)
        return handle

    def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Handle[R]]:
        """Enqueue many jobs with pipelined confirms: all are confirmed when this returns.

        Args:
            calls: made by `task.call(...)`; read lazily, in the caller's thread.

        Raises:
            PublishError: as `enqueue`; a note on it says how many are enqueued.
            Exception: what `calls` raises; those before are enqueued.
        """
        client, handles = self._host.client, list[Handle[R]]()

        def composed() -> Iterator[Outgoing]:
            for outgoing in client.compose_calls(calls):
                handles.append(self._handle(client.expect(outgoing)))
                yield outgoing

        self._host.send_many(composed())
        return handles

    @overload
    def map(
        self,
        task: Task[Concatenate[T, P], R],
        items: Iterable[T],
        *,
        chunk: int = 100,
        kwargs: Mapping[str, Any] | None = None,
    ) -> MapHandle[R]: ...
    @overload
    def map(
        self, task: NamedTask, items: Iterable[Any], *, chunk: int = 100, kwargs: Mapping[str, Any] | None = None
    ) -> MapHandle[Any]: ...
    def map(
        self,
        task: Task[..., Any] | NamedTask,
        items: Iterable[Any],
        *,
        chunk: int = 100,
        kwargs: Mapping[str, Any] | None = None,
    ) -> MapHandle[Any]:
        """Run a task once per item: items travel in chunks, a chunk is spread over a worker's processes.

        Args:
            task: takes an item as its first argument; `warren.task.named` for one known by name only.
            items: any iterable, read lazily.
            chunk: items in one message.
            kwargs: further keyword arguments, the same for every item.

        Raises:
            InvalidArguments, PayloadTooLarge, PublishError: as `enqueue`; the chunks before the error are enqueued.
        """
        client, changed, slots = self._host.client, asyncio.Event(), list[ChunkSlot]()
        composed = Composed(client.compose_chunks(task, items, chunk, kwargs))
        for batch in _batches(iter(composed)):
            slots += self._host.call(functools.partial(Client.send_chunks, outgoing=batch, changed=changed))
        composed.check()
        return MapHandle(client.map_state(slots, task), self._wait, self._cancel)

    def start(self, workflow: Workflow[R]) -> WorkflowHandle[R]:
        """Start a workflow: the broker keeps it when this returns; a scheduler conducts it (`warren scheduler`).

        Raises:
            InvalidWorkflow, PayloadTooLarge: nothing was sent.
            PublishError: BrokerUnavailable, BrokerBlocked or PublishRefused, within `publish_timeout`.
        """
        definition = self._host.client.starter.define(workflow)
        slot = self._host.call(lambda client: client.starter.start(definition, workflow.result_type))
        return WorkflowHandle(slot, self._wait, self.cancel_workflow)

    @overload
    def map_reduce(
        self,
        task: Task[Concatenate[T, P], R],
        items: Iterable[T],
        *,
        reduce: Task[Concatenate[list[R], ...], R],
        chunk: int = ...,
        kwargs: Mapping[str, Any] | None = ...,
        fan_in: int = ...,
    ) -> WorkflowHandle[R]: ...
    @overload
    def map_reduce(
        self,
        task: Task[Concatenate[T, P], R],
        items: Iterable[T],
        *,
        reduce: Task[Concatenate[list[R], ...], B],
        chunk: int = ...,
        kwargs: Mapping[str, Any] | None = ...,
        fan_in: int = ...,
        tree: Literal[False],
    ) -> WorkflowHandle[B]: ...
    def map_reduce(
        self,
        task: Task[..., Any],
        items: Iterable[Any],
        *,
        reduce: Task[..., Any],
        chunk: int = 1_000,
        kwargs: Mapping[str, Any] | None = None,
        fan_in: int = FAN_IN,
        tree: bool = True,
    ) -> WorkflowHandle[Any]:
        """Run a task once per item and fold the results, in the order of the items, where workflows are conducted (`warren scheduler`).

        Items are read and enqueued as they come: neither they nor their results stay here. When this returns, all are enqueued;
        when it raises, the workflow is cancelled.

        Args:
            task: takes an item as its first argument.
            items: any iterable, read lazily.
            reduce: takes a list of results. Of many it is called on neighbours, and then on what it returned for them, so
                it must give the same however they are grouped.
            chunk: items in one message.
            kwargs: further keyword arguments of `task`, the same for every item.
            fan_in: values in one call of `reduce` at most; half of `payload_limit` bounds them, too.
            tree: False to have `reduce` called once, with all results; they must fit into one message.

        Raises:
            InvalidArguments, PayloadTooLarge, PublishError: as `enqueue`.
        """
        client = self._host.client
        spec = spec_of(chunk, fan_in, client.settings.payload_limit, tree=tree)
        definition = client.starter.define_map(task, reduce, spec)
        slot = self._host.call(lambda client: client.starter.start(definition, reduce.signature.result))
        chunks = Chunks(definition, client.composer, task, items, kwargs or {})
        try:
            self._host.send_many(chunks)
            self._host.call(lambda client: client.starter.end_map(chunks))
        except BaseException:
            self.cancel_workflow(definition.id, reason=NOT_ENQUEUED)
            raise
        return WorkflowHandle(slot, self._wait, self.cancel_workflow)

    def cancel_workflow(self, workflow_id: str, *, reason: str = REASON) -> None:
        """Cancel a workflow started anywhere, by its id: what waits does not begin, what is enqueued or runs is cancelled.

        Raises:
            PublishError: the broker did not take it.
        """
        self._host.call(lambda client: client.starter.cancel(workflow_id, reason))

    def handle(self, job_id: str) -> Handle[Any]:
        """Return a handle of a job enqueued anywhere, by its id; results are kept for a day."""
        return self._handle(self._host.client.slot_of(job_id))

    def find(self, job_id: str) -> Result | None:
        """Return the final result of a job as it was published, at once; None when the broker keeps none (yet).

        Raises:
            BrokerUnavailable, ResultError: it could not be looked up.
        """
        return self._host.call(lambda client: client.find(job_id))

    def cancel(self, job_id: str, *, timeout: float = ANSWER_SECONDS, reason: str = REASON) -> Cancellation:
        """Cancel a job enqueued anywhere, by its id: it will not run (again), and if it runs it is told to end.

        Args:
            job_id: the job's.
            timeout: seconds for the workers to answer; the cancellation stands whether or not they do.
            reason: for whoever waits for the result.

        Raises:
            PublishError: the broker did not take it.
        """
        return self.cancel_many([job_id], timeout=timeout, reason=reason)[job_id]

    def cancel_many(
        self, ids: Iterable[str], *, timeout: float = ANSWER_SECONDS, reason: str = REASON
    ) -> dict[str, Cancellation]:
        """Cancel several jobs together, and return what became of each; see `cancel`."""
        client = self._host.client
        return self._cancel([client.slot_of(job_id) for job_id in ids], timeout, reason)

    def cancel_task(
        self, task: AnyTask | str, *, timeout: float = ANSWER_SECONDS, reason: str = REASON
    ) -> TaskCancellation:
        """Cancel all jobs of a task that were enqueued before now, by this machine's clock.

        Whoever waits for one that waits in the broker is told when it comes to a worker.

        Args:
            task: a task or its name.
            timeout: seconds for the workers to answer; the cancellation stands whether or not they do.
            reason: for whoever waits for the results.

        Raises:
            PublishError: the broker did not take it.
        """
        return self._host.call(lambda client: client.canceller.cancel_task(task, timeout, reason))

    def _handle(self, slot: Slot) -> Handle[Any]:
        return Handle(slot, self._wait, self._cancel)

    def _cancel(self, slots: Sequence[AnySlot], seconds: float, reason: str) -> dict[str, Cancellation]:
        return self._host.call(lambda client: client.canceller.cancel(slots, seconds, reason))

    def _wait(self, slot: AnySlot, timeout: float | None) -> None:
        self._host.call(lambda client: client.wait(slot, timeout))


def _batches(outgoing: Iterator[Outgoing]) -> Iterator[list[Outgoing]]:
    while batch := list(itertools.islice(outgoing, _BATCH)):
        yield batch
