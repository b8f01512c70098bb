"""The public face, as type checkers see it. Never run: tests/typing/test_typing.py has it checked by mypy and basedpyright."""

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from warren.context import job, progress
from warren.producer import (
    AsyncHandle,
    AsyncMapHandle,
    AsyncProducer,
    AsyncWorkflowHandle,
    Cancellation,
    Handle,
    MapHandle,
    Producer,
    TaskCancellation,
    WorkflowHandle,
)
from warren.result import Result
from warren.retry import Retry
from warren.schedule import every, once
from warren.task import Call, CoroutineTask, NamedTask, named, task
from warren.workflow import Node, Workflow, chain, chord, group


@task(queue="images", retry=Retry(attempts=5), timeout=timedelta(seconds=30))
def thumbnail(path: str, size: int = 128) -> str:
    progress(1, 2)
    return path * size


@task
def add(a: int, /, *more: int, start: float = 0.0) -> float:
    return a + sum(more) + start


@task
async def fetch(url: str) -> int:
    assert_type(job().attempt, int)
    return len(url)


@task(priority=5, result=False)
async def warm(url: str) -> None: ...


@every("*/5 * * * *", tz="Europe/Paris", overlap="skip", args=["a"])
@task
def scheduled(path: str) -> int:
    return len(path)


@task
@every(timedelta(hours=1), name="hourly", misfire="run_all", grace=timedelta(minutes=5))
@once(datetime(2030, 1, 1, tzinfo=UTC))
async def awaited_on_time() -> str:
    return ""


async def schedules() -> None:
    assert_type(scheduled("a"), int)
    assert_type(scheduled.call(path="a"), Call[int])
    assert_type(await awaited_on_time(), str)
    assert_type(every(seconds=30, jitter=2)(thumbnail.options(priority=9)).call("a", size=3), Call[str])


def tasks() -> None:
    assert_type(thumbnail("a"), str)
    assert_type(thumbnail("a", size=3), str)
    assert_type(add(1, 2, 3, start=0.5), float)
    assert_type(thumbnail.call("a", 3), Call[str])
    assert_type(fetch.call("a"), Call[int])
    assert_type(named("a:b"), NamedTask)
    coroutine: CoroutineTask[[str], int] = fetch
    assert_type(coroutine.name, str)


async def awaited() -> None:
    assert_type(await fetch("a"), int)
    assert_type(await warm("a"), None)


def blocking(producer: Producer) -> None:
    handle = producer.enqueue(thumbnail, "a")
    assert_type(handle, Handle[str])
    assert_type(handle.result(), str)
    assert_type(producer.enqueue(thumbnail, "a").result(), str)
    assert_type(producer.enqueue(thumbnail, "a", size=64).result(timeout=10), str)
    assert_type(producer.enqueue(thumbnail.options(delay=60, priority=9), "a").result(), str)
    assert_type(producer.enqueue(add, 1, 2, 3, start=0.5).result(), float)
    assert_type(producer.enqueue(fetch, "a").result(), int)
    assert_type(producer.enqueue(fetch.options(queue="web"), "a").result(), int)
    assert_type(producer.enqueue("images.jobs:thumbnail", "a", size=3), Handle[Any])
    assert_type(producer.enqueue(named("images.jobs:thumbnail", delay=1), "a"), Handle[Any])


def many(producer: Producer) -> None:
    assert_type(producer.enqueue_many(thumbnail.call(path) for path in ["a"]), list[Handle[str]])
    assert_type(producer.enqueue_many([fetch.call("a")])[0].result(), int)
    assert_type(producer.map(thumbnail, ["a"], chunk=10), MapHandle[str])
    assert_type(producer.map(thumbnail, ["a"], kwargs={"size": 3}).results(timeout=10), list[str])
    assert_type(producer.map(fetch, ["a"]).results(), list[int])
    assert_type(producer.find("id"), Result | None)
    assert_type(producer.handle("id"), Handle[Any])


def cancelled(producer: Producer) -> None:
    assert_type(producer.enqueue(thumbnail, "a").cancel(), Cancellation)
    assert_type(producer.map(thumbnail, ["a"]).cancel(timeout=2, reason="enough"), dict[str, Cancellation])
    assert_type(producer.cancel("id", timeout=2), Cancellation)
    assert_type(producer.cancel_many(["id"]), dict[str, Cancellation])
    assert_type(producer.cancel_task(thumbnail), TaskCancellation)
    assert_type(producer.cancel_task("images.jobs:thumbnail", reason="enough").before, float)


def settled(producer: Producer) -> None:
    with Producer(url="amqp://h") as entered:
        assert_type(entered, Producer)
    assert_type(producer.map(thumbnail, []).progress, tuple[int, int])


async def asynchronous() -> None:
    async with AsyncProducer() as producer:
        assert_type(producer, AsyncProducer)
        handle = await producer.enqueue(thumbnail, "a", size=3)
        assert_type(handle, AsyncHandle[str])
        assert_type(await handle.result(timeout=10), str)
        assert_type(await (await producer.enqueue(fetch, "a")).result(), int)
        assert_type(await producer.enqueue("a:b", 1, x=2), AsyncHandle[Any])
        assert_type(await producer.enqueue_many([thumbnail.call("a")]), list[AsyncHandle[str]])
        mapped = await producer.map(fetch, ["a"])
        assert_type(mapped, AsyncMapHandle[int])
        assert_type(await mapped.results(), list[int])
        assert_type(await mapped.cancel(), dict[str, Cancellation])
        assert_type(await handle.cancel(timeout=2, reason="enough"), Cancellation)
        assert_type(await producer.cancel("id"), Cancellation)
        assert_type(await producer.cancel_many(["id"]), dict[str, Cancellation])
        assert_type(await producer.cancel_task(fetch), TaskCancellation)


@task
def most(sizes: list[int], least: int = 0) -> int:
    return max(sizes, default=least)


@task
def shout(text: str | None) -> str:
    return text or ""


@task
def listed(texts: list[str]) -> int:
    return len(texts)


def workflows(producer: Producer) -> None:
    flow = Workflow("images")
    path = flow.add(thumbnail, "a", size=3)
    assert_type(path, Node[str])
    assert_type(path.out, str)
    assert_type(path.or_none, str | None)
    assert_type(flow.add(thumbnail, path.out), Node[str])
    assert_type(flow.step("length", after=[path], on_failure="skip").add(fetch, path.or_skip), Node[int])
    assert_type(flow.add(shout, path.or_none), Node[str])
    assert_type(flow.add(most, [flow.add(fetch, "a").out, 5], least=1), Node[int])
    assert_type(flow.add("a:b", path), Node[Any])
    assert_type(flow.add(fetch.call("a")), Node[int])
    assert_type(flow.returns(path), Workflow[str])
    assert_type(chain(thumbnail.call("a"), fetch), Workflow[int])
    assert_type(chain(thumbnail.call("a"), thumbnail, thumbnail), Workflow[str])
    assert_type(group(fetch.call(url) for url in ["a"]), Workflow[list[int]])
    assert_type(chord([fetch.call("a")], most), Workflow[int])
    assert_type(flow.add(chord([fetch.call("a")], most)), Node[int])
    assert_type(producer.start(chain(thumbnail.call("a"), fetch)), WorkflowHandle[int])
    assert_type(producer.start(chord([fetch.call("a")], most)).result(timeout=1), int)
    assert_type(producer.start(flow).progress, tuple[int, int])
    assert_type(producer.map_reduce(fetch, ["a"], reduce=most, chunk=10), WorkflowHandle[int])
    assert_type(producer.map_reduce(thumbnail, ["a"], kwargs={"size": 3}, reduce=listed, tree=False).result(), int)


async def awaited_workflows(producer: AsyncProducer) -> None:
    handle = await producer.start(chain(thumbnail.call("a"), fetch))
    assert_type(handle, AsyncWorkflowHandle[int])
    assert_type(await handle.result(), int)
    assert_type(await (await producer.map_reduce(fetch, ["a"], reduce=most)).result(), int)
