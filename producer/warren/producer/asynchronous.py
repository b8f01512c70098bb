"""The producer for asyncio applications, on pika's asyncio connection by default."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from warren.producer.cancelling import ANSWER_SECONDS, REASON, Cancellation, TaskCancellation
from warren.producer.client import Client
from warren.producer.core import AnyTask, Outgoing
from warren.producer.handles import AsyncHandle, AsyncMapHandle
from warren.producer.map_reduce import FAN_IN, NOT_ENQUEUED, Chunks, spec_of
from warren.producer.workflows import AsyncWorkflowHandle
from warren.result import Result
from warren.settings import Settings, load
from warren.task import Call, NamedTask, Task
from warren.workflow.building import Workflow

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
B = TypeVar("B")


class AsyncProducer:
    """Enqueues jobs and waits for their results, from one event loop.

    Use it as `async with AsyncProducer() as producer`, one for the life of the application.

    Args:
        settings: all settings; else they come from `changes`, `WARREN_*` and `warren.toml` (see `warren.settings.Settings`).
        changes: single settings by name, as `url=...`.

    Raises:
        InvalidSettings: with every problem found.
    """

    def __init__(self, settings: Settings | None = None, **changes: Any) -> None:
        self._client = Client(settings or load(**changes), engine="pika")

    async def __aenter__(self) -> Self:
        await self._client.reach()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; results not waited for yet can be asked for by id later."""
        await self._client.close()

    @overload
    async def enqueue(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AsyncHandle[R]: ...
    @overload
    async def enqueue(self, task: NamedTask | str, /, *args: object, **kwargs: object) -> AsyncHandle[Any]: ...
    async def enqueue(self, task: Task[..., Any] | NamedTask | str, /, *args: Any, **kwargs: Any) -> AsyncHandle[Any]:
        """Enqueue one job: it is confirmed, on disk by the broker's rules, when this returns.

        Args:
            task: a task, `task.options(...)`, or a task's name (`warren.task.named` for one with options).
            args: the task's arguments, checked against its annotations before anything is sent.
            kwargs: likewise.

        Raises:
            InvalidArguments, PayloadTooLarge: nothing was sent.
            PublishError: BrokerUnavailable, BrokerBlocked, Unroutable or PublishRefused, within `publish_timeout`.
        """
        client = self._client
        outgoing = client.compose(task, args, kwargs)
        handle = self._handle(client.expect(outgoing))
        await client.send(outgoing)
        return handle

    async def enqueue_many(self, calls: Iterable[Call[R]]) -> list[AsyncHandle[R]]:
        """Enqueue many jobs with pipelined confirms: all are confirmed when this returns.

        Args:
            calls: made by `task.call(...)`; read lazily.

        Raises:
            PublishError: as `enqueue`; a note on it says how many are enqueued.
            Exception: what `calls` raises; those before are enqueued.
        """
        client, handles = self._client, list[AsyncHandle[R]]()

        def composed() -> Iterator[Outgoing]:
            for outgoing in client.compose_calls(calls):
                handles.append(self._handle(client.expect(outgoing)))
                yield outgoing

        await client.send_many(composed())
        return handles

    @overload
    async def map(
        self,
        task: Task[Concatenate[T, P], R],
        items: Iterable[T],
        *,
        chunk: int = 100,
        kwargs: Mapping[str, Any] | None = None,
    ) -> AsyncMapHandle[R]: ...
    @overload
    async def map(
        self, task: NamedTask, items: Iterable[Any], *, chunk: int = 100, kwargs: Mapping[str, Any] | None = None
    ) -> AsyncMapHandle[Any]: ...
    async def map(
        self,
        task: Task[..., Any] | NamedTask,
        items: Iterable[Any],
        *,
        chunk: int = 100,
        kwargs: Mapping[str, Any] | None = None,
    ) -> AsyncMapHandle[Any]:
        """Run a task once per item: items travel in chunks, a chunk is spread over a worker's processes.

        Args:
            task: takes an item as its first argument; `warren.task.named` for one known by name only.
            items: any iterable, read lazily.
            chunk: items in one message.
            kwargs: further keyword arguments, the same for every item.

        Raises:
            InvalidArguments, PayloadTooLarge, PublishError: as `enqueue`; the chunks before the error are enqueued.
        """
        chunks = self._client.compose_chunks(task, items, chunk, kwargs)
        slots = await self._client.send_chunks(chunks, asyncio.Event())
        return AsyncMapHandle(self._client.map_state(slots, task), self._client.wait, self._client.canceller.cancel)

    async def start(self, workflow: Workflow[R]) -> AsyncWorkflowHandle[R]:
        """Start a workflow; see `Producer.start`."""
        starter = self._client.starter
        slot = await starter.start(starter.define(workflow), workflow.result_type)
        return AsyncWorkflowHandle(slot, self._client.wait, self.cancel_workflow)

    @overload
    async def map_reduce(
        self,
        task: Task[Concatenate[T, P], R],
        items: Iterable[T],
        *,
        reduce: Task[Concatenate[list[R], ...], R],
        chunk: int = ...,
        kwargs: Mapping[str, Any] | None = ...,
        fan_in: int = ...,
    ) -> AsyncWorkflowHandle[R]: ...
    @overload
    async def map_reduce(
        self,
        task: Task[Concatenate[T, P], R],
        items: Iterable[T],
        *,
        reduce: Task[Concatenate[list[R], ...], B],
        chunk: int = ...,
        kwargs: Mapping[str, Any] | None = ...,
        fan_in: int = ...,
        tree: Literal[False],
    ) -> AsyncWorkflowHandle[B]: ...
    async def map_reduce(
        self,
        task: Task[..., Any],
        items: Iterable[Any],
        *,
        reduce: Task[..., Any],
        chunk: int = 1_000,
        kwargs: Mapping[str, Any] | None = None,
        fan_in: int = FAN_IN,
        tree: bool = True,
    ) -> AsyncWorkflowHandle[Any]:
        """Run a task once per item and fold the results; see `Producer.map_reduce`."""
        client, starter = self._client, self._client.starter
        spec = spec_of(chunk, fan_in, client.settings.payload_limit, tree=tree)
        definition = starter.define_map(task, reduce, spec)
        slot = await starter.start(definition, reduce.signature.result)
        chunks = Chunks(definition, client.composer, task, items, kwargs or {})
        try:
            await client.send_many(chunks)
            await starter.end_map(chunks)
        except BaseException:
            await starter.cancel(definition.id, NOT_ENQUEUED)
            raise
        return AsyncWorkflowHandle(slot, client.wait, self.cancel_workflow)

    async def cancel_workflow(self, workflow_id: str, *, reason: str = REASON) -> None:
        """Cancel a workflow started anywhere, by its id; see `Producer.cancel_workflow`."""
        await self._client.starter.cancel(workflow_id, reason)

    def handle(self, job_id: str) -> AsyncHandle[Any]:
        """Return a handle of a job enqueued anywhere, by its id; results are kept for a day."""
        return self._handle(self._client.slot_of(job_id))

    async def find(self, job_id: str) -> Result | None:
        """Return the final result of a job as it was published, at once; None when the broker keeps none (yet).

        Raises:
            BrokerUnavailable, ResultError: it could not be looked up.
        """
        return await self._client.find(job_id)

    async def cancel(self, job_id: str, *, timeout: float = ANSWER_SECONDS, reason: str = REASON) -> Cancellation:
        """Cancel a job enqueued anywhere, by its id; see `Producer.cancel`."""
        return (await self.cancel_many([job_id], timeout=timeout, reason=reason))[job_id]

    async def cancel_many(
        self, ids: Iterable[str], *, timeout: float = ANSWER_SECONDS, reason: str = REASON
    ) -> dict[str, Cancellation]:
        """Cancel several jobs together, and return what became of each; see `Producer.cancel`."""
        return await self._client.canceller.cancel([self._client.slot_of(job_id) for job_id in ids], timeout, reason)

    async def cancel_task(
        self, task: AnyTask | str, *, timeout: float = ANSWER_SECONDS, reason: str = REASON
    ) -> TaskCancellation:
        """Cancel all jobs of a task that were enqueued before now; see `Producer.cancel_task`."""
        return await self._client.canceller.cancel_task(task, timeout, reason)

    def _handle(self, slot: Any) -> AsyncHandle[Any]:
        return AsyncHandle(slot, self._client.wait, self._client.canceller.cancel)
