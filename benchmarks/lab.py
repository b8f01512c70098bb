"""Where everything is measured: one private broker, and a site of its own for every case."""

import base64
import http
import json
import shutil
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pika
from benchmarks.apart import apart
from benchmarks.copies import copies
from benchmarks.jobs.work import PAYLOAD
from benchmarks.pipeline import Pipeline
from benchmarks.plan import Plan
from benchmarks.site import Site
from benchmarks.systems.registry import system
from benchmarks.waiting import wait_until

from warren.console.private_broker import PrivateBroker

_NOT_YET = {
    http.HTTPStatus.INTERNAL_SERVER_ERROR,  # RabbitMQ 3.10 cannot list queues while one is deleted, as a case beside this one may do
    http.HTTPStatus.NOT_FOUND,  # it has gone meanwhile
    http.HTTPStatus.BAD_REQUEST,  # it is exclusive to a connection that was just killed, and goes with it
}
Brokers = Callable[[], AbstractContextManager[PrivateBroker]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One job as its system's producer sends it."""

    queue: str
    properties: pika.BasicProperties
    body: bytes


class Lab:
    """One broker, which systems take part, and how much of everything; `brokers` makes more of the same."""

    def __init__(self, broker: PrivateBroker, plan: Plan, systems: Sequence[str], brokers: Brokers) -> None:
        self.plan = plan
        self.systems = tuple(systems)
        self._broker = broker
        self._brokers = brokers

    @contextmanager
    def another(self) -> Iterator["Lab"]:
        """The same with a broker of its own."""
        with self._brokers() as broker:
            yield Lab(broker, self.plan, self.systems, self._brokers)

    @property
    def broker_pid(self) -> int:
        assert self._broker.pid is not None, "the broker has ended"
        return self._broker.pid

    def broker_version(self) -> str:
        """What the broker says it is."""
        overview = self._management("GET", "overview")
        return f"RabbitMQ {overview['rabbitmq_version']}, Erlang {overview['erlang_version']}"

    @contextmanager
    def site(self, **conditions: Any) -> Iterator[Site]:
        """A site of its own; afterwards its queues are gone."""
        space, folder = f"b{uuid.uuid4().hex[:8]}", tempfile.mkdtemp(prefix="warren-bench-")
        try:
            yield Site(self._broker.url, space, folder, self.broker_pid, **conditions)
        finally:
            wait_until(lambda: self._is_clean(space), 60, "the queues of the case are deleted", poll=0.1)
            shutil.rmtree(folder, ignore_errors=True)

    def record(self, name: str, site: Site, job: str = "nothing", arguments: Sequence[Any] = (PAYLOAD,)) -> Recorded:
        """Have a system's producer send one job, which also declares the queue, and take it out again."""
        apart(site, name, "one", job, list(arguments))
        queue = system(name, site).queue()
        connection = pika.BlockingConnection(pika.URLParameters(site.url))
        _, properties, body = connection.channel().basic_get(queue, auto_ack=True)
        connection.close()
        assert properties is not None, f"no job in {queue!r}"
        assert body is not None
        return Recorded(queue, properties, body)

    def publish(self, site: Site, recorded: Recorded, number: int) -> None:
        """Put so many copies of a job into its queue."""
        Pipeline(site.url, recorded.queue, copies(recorded.properties, recorded.body, number)).run()

    def fill(
        self, name: str, site: Site, number: int, job: str = "nothing", arguments: Sequence[Any] = (PAYLOAD,)
    ) -> None:
        """Have so many jobs wait in a system's queue."""
        self.publish(site, self.record(name, site, job, arguments), number)

    def _is_clean(self, space: str) -> bool:
        """Delete a case's queues; whether there were none."""
        try:
            names = [queue["name"] for queue in self._management("GET", "queues?columns=name")]
            ours = [name for name in names if name.startswith(space)]
            for name in ours:
                self._management("DELETE", f"queues/%2F/{quote(name, safe='')}")
        except urllib.error.HTTPError as error:
            if error.code not in _NOT_YET:
                raise
            return False
        return not ours

    def _management(self, method: str, path: str) -> Any:
        url = f"{self._broker.management_url}/api/{path}"
        request = urllib.request.Request(url, method=method)  # noqa: S310 - our own broker
        request.add_header("Authorization", f"Basic {base64.b64encode(b'guest:guest').decode()}")
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")
