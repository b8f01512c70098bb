"""The lifecycle of daemons that are no workers, and who of them leads."""

import asyncio
import http.client
import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from tests.support import Broker, eventually_async

from warren.amqp.seam import Connection
from warren.errors import StartError
from warren.events import BrokerConnected, DaemonReady, DaemonStopped, Event, Leading, StandingBy
from warren.service.lives import Lives
from warren.service.service import Service
from warren.settings import Settings


class Recorded:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


class Working:
    """Leads, has a second connection, and notes what it was told to do."""

    def __init__(self, service: Service, begin: Callable[[], None] = lambda: None) -> None:
        self.service, self.said, self.leading = service, list[str](), list[Connection]()
        self._begin = begin

    async def begin(self) -> None:
        self.said.append("begin")
        self.said.append(await self.service.store.run(lambda: threading.current_thread().name))
        self._begin()

    async def build(self) -> Lives:
        async with Lives() as lives:
            self.leading.append(await self.service.leadership.take())
            lives.add(self.leading[-1])
            lives.add(await self.service.connect("working"))
        self.said.append("build")
        return lives

    async def end(self) -> None:
        self.said.append("end")


def settings(url: str, namespace: str, name: str = "d") -> Settings:
    return Settings(url=url, namespace=namespace, name=name, http_host="127.0.0.1", http_port=0)


def answer(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def test_a_daemon_begins_builds_and_ends_in_order() -> None:
    async def scenario() -> None:
        told = Recorded()
        service = Service("recorder", settings("memory://service", "w"), CollectorRegistry(), told)
        work = Working(service)
        serving = asyncio.create_task(service.serve(work))
        await eventually_async(lambda: asyncio.sleep(0, service.health.not_ready == ""))
        assert (await asyncio.to_thread(answer, service.http_port, "/readyz"))[0] == 200
        assert b"warren_leading 1.0" in (await asyncio.to_thread(answer, service.http_port, "/metrics"))[1]
        service.stop()
        await serving
        assert work.said == ["begin", "warren-store_0", "build", "end"]
        assert work.leading[0].lost.done()
        assert told.kinds()[:3] == [Leading, BrokerConnected, DaemonReady]
        assert told.kinds()[-1] is DaemonStopped

    asyncio.run(scenario())


def test_what_cannot_begin_ends_and_says_why() -> None:
    def begin() -> None:
        raise StartError("no database")

    async def scenario() -> None:
        service = Service("recorder", settings("memory://service", "w"), CollectorRegistry())
        work = Working(service, begin)
        with pytest.raises(StartError, match="no database"):
            await service.serve(work)
        assert work.said[-1] == "end"

    asyncio.run(scenario())


def test_one_leads_and_another_takes_over_when_it_is_gone(broker: Broker, namespace: str) -> None:
    async def scenario() -> None:
        told = Recorded(), Recorded()
        services = [
            Service("recorder", settings(broker.url, namespace, f"d{n}"), CollectorRegistry(), told[n])
            for n in range(2)
        ]
        works = [Working(service) for service in services]
        first = asyncio.create_task(services[0].serve(works[0]))
        await eventually_async(lambda: asyncio.sleep(0, Leading in told[0].kinds()))
        second = asyncio.create_task(services[1].serve(works[1]))
        await eventually_async(lambda: asyncio.sleep(0, StandingBy in told[1].kinds()))
        assert services[1].health.not_ready == ""
        await works[0].leading[0].close()
        await eventually_async(
            lambda: asyncio.sleep(0, Leading in told[1].kinds() or told[0].kinds().count(Leading) > 1)
        )
        for service in services:
            service.stop()
        await asyncio.gather(first, second)

    asyncio.run(scenario())
