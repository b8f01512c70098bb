"""What several tests need: waiting for a condition, a broker that somebody else runs, cleaning up after a test."""

import asyncio
import base64
import http.client
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote, urlsplit

POLL_SECONDS = 0.02

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout: float = 60.0, message: str = "") -> T:
    """Ask until the answer is true, and return it.

    Args:
        condition: asked every 20 ms.
        timeout: seconds after which it is an AssertionError; many, as a loaded machine may need them and nobody else waits.
        message: what was expected.
    """
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(message, timeout, answer))
        time.sleep(POLL_SECONDS)
    return answer


async def eventually_async(condition: Callable[[], Awaitable[T]], timeout: float = 60.0, message: str = "") -> T:
    """Ask until the awaited answer is true, and return it; see `eventually`."""
    deadline = time.monotonic() + timeout
    while not (answer := await condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(message, timeout, answer))
        await asyncio.sleep(POLL_SECONDS)
    return answer


def _complaint(message: str, timeout: float, answer: object) -> str:
    return f"{message or 'the condition'} did not come true in {timeout:g} s; the last answer was {answer!r}"


def eventually_on_disk(folder: Path, *queues: str) -> None:
    """Wait until a private broker that is killed now finds these quorum queues (of the vhost /) again.

    RabbitMQ 3.10 writes down which quorum queues it has a second late or more; one that it has not written yet has no
    leader after a kill -9, and never gets one: declaring works, publishing and consuming time out.
    """
    names = [f"%2F_{quote(queue, safe='')}".encode() for queue in queues]
    entries = [bytes([len(name)]) + name + b"m" for name in names]  # an Erlang atom, then a binary

    def written() -> bool:
        found = b"".join(file.read_bytes() for file in folder.glob("data/*/quorum/*/names.dets"))
        return all(entry in found for entry in entries)

    eventually(written, message=f"the queues {queues} are written down in {folder}")


class Broker(Protocol):
    """What every broker of the tests has, private or not."""

    @property
    def url(self) -> str: ...
    @property
    def management_url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ExternalBroker:
    """A broker that somebody else runs."""

    url: str
    management_url: str

    @classmethod
    def at(cls, url: str, management_url: str | None = None) -> "ExternalBroker":
        host = urlsplit(url).hostname or "127.0.0.1"
        return cls(url, management_url or f"http://{host}:15672")


class Management:
    """RabbitMQ's HTTP API, as far as the tests need it."""

    def __init__(self, broker: Broker) -> None:
        amqp, http_api = urlsplit(broker.url), urlsplit(broker.management_url)
        user = f"{unquote(amqp.username or 'guest')}:{unquote(amqp.password or 'guest')}"
        self.vhost = quote(unquote(amqp.path[1:]) or "/", safe="")
        self._headers = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
        secure = http_api.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = connect(http_api.hostname or "127.0.0.1", http_api.port, timeout=60)

    def call(self, method: str, path: str) -> list[dict[str, object]]:
        """Send a request below /api; return the list it answers, or nothing."""
        self._connection.request(method, f"/api/{path}", headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        found = json.loads(body) if response.status == http.HTTPStatus.OK and body else []
        return found if isinstance(found, list) else []

    def names(self, kind: str, prefix: str) -> list[str]:
        """Return the queues or exchanges of this prefix; an exclusive queue goes with its connection."""
        found = self.call("GET", f"{kind}/{self.vhost}")
        names = [str(item["name"]) for item in found if not item.get("exclusive")]
        return [name for name in names if name.startswith(prefix)]

    def delete_all(self, prefix: str, timeout: float = 60.0) -> None:
        """Delete the queues and exchanges of this prefix, and wait until they are gone."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = [(kind, name) for kind in ("queues", "exchanges") for name in self.names(kind, prefix)]
            if not found:
                return
            for kind, name in found:
                self.call("DELETE", f"{kind}/{self.vhost}/{quote(name, safe='')}")

    def close(self) -> None:
        self._connection.close()
