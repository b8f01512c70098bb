"""A broker in memory for each test, forgotten afterwards."""

from collections.abc import Iterator

import pytest
from tests.producer.hands import new_broker, settings

from warren.amqp import memory
from warren.producer import Producer


@pytest.fixture
def memory_broker() -> Iterator[str]:
    name = new_broker()
    yield name
    memory.block(name, on=False)
    memory.reset(name)


@pytest.fixture
def producer(memory_broker: str) -> Iterator[Producer]:
    with Producer(settings(memory_broker)) as made:
        yield made
