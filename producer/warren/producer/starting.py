"""Starting and cancelling workflows over a producer's link."""

import time
from typing import Any

from warren.producer import map_reduce
from warren.producer.core import AnyTask
from warren.producer.inbox import WorkflowSlot
from warren.producer.link import Link
from warren.producer.listening import Listener
from warren.producer.map_reduce import Chunks
from warren.producer.requests import Requests
from warren.producer.workflows import defined, slot_of
from warren.workflow.building import Workflow
from warren.workflow.graph import Definition, MapSpec
from warren.workflow.messages import Cancel, Submit


class Starter:
    """Has workflows begin and end; on the link's loop but for `define`."""

    def __init__(self, link: Link, listener: Listener) -> None:
        self._link = link
        self._listener = listener
        self.requests = Requests(link)

    def define(self, workflow: Workflow[Any]) -> Definition:
        """Return a workflow ready to be sent; needs no connection and may be called from any thread.

        Raises:
            InvalidWorkflow, PayloadTooLarge: it cannot be.
        """
        return defined(workflow, self._listener.reply_key, self._link.settings.payload_limit, time.time())

    def define_map(self, task: AnyTask, reduce: AnyTask, spec: MapSpec) -> Definition:
        """Return a map and its reduce ready to be sent; in any thread.

        Raises:
            UsageError: it cannot be.
        """
        return map_reduce.defined(task, reduce, spec, time.time(), self._listener.reply_key)

    async def start(self, definition: Definition, result_type: Any) -> WorkflowSlot:
        """Have a workflow begin, and return where its result will lie."""
        slot = slot_of(definition, result_type)
        self._listener.inbox.expect(slot)
        await self.requests.send(Submit(definition))
        return slot

    async def cancel(self, workflow_id: str, reason: str) -> None:
        """Have a workflow cancelled."""
        await self.requests.send(Cancel(workflow_id, time.time(), reason))

    async def end_map(self, chunks: Chunks) -> None:
        """Say that all chunks of a map are enqueued."""
        await self.requests.send(chunks.end())
