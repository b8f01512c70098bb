"""Enqueue jobs: `Producer` for blocking code, `AsyncProducer` for asyncio."""

from warren.producer.asynchronous import AsyncProducer
from warren.producer.blocking import Producer
from warren.producer.cancelling import Cancellation, TaskCancellation
from warren.producer.handles import AsyncHandle, AsyncMapHandle, Handle, MapHandle
from warren.producer.workflows import AsyncWorkflowHandle, WorkflowHandle

__all__ = [
    "AsyncHandle",
    "AsyncMapHandle",
    "AsyncProducer",
    "AsyncWorkflowHandle",
    "Cancellation",
    "Handle",
    "MapHandle",
    "Producer",
    "TaskCancellation",
    "WorkflowHandle",
]
