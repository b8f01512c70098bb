"""The executable against the session's broker."""

from collections.abc import Iterator

import pytest
from tests.console.executable import Warren
from tests.support import Broker

from warren.amqp import memory


@pytest.fixture
def warren(broker: Broker, namespace: str) -> Warren:
    """`warren …` on the session's broker, in the test's namespace."""
    return Warren(url=broker.url, management_url=broker.management_url, namespace=namespace)


@pytest.fixture
def alone() -> Warren:
    """`warren …` where nobody answers; in its deadline it imports a client library, which a loaded machine takes a while for."""
    return Warren(url="amqp://guest:guest@127.0.0.1:1/", publish_timeout="1.5", connect_timeout="1.5")


@pytest.fixture
def memory_name() -> Iterator[str]:
    """The name of an in-memory broker, forgotten afterwards."""
    yield "console"
    memory.reset("console")
