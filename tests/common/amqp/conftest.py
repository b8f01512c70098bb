"""Every test that takes `side` runs once for each engine; those for RabbitMQ need a broker."""

import uuid
from collections.abc import Iterator

import pytest
from tests.common.amqp.harness import Side


@pytest.fixture(
    params=[
        "memory",
        pytest.param("pika_engine", marks=pytest.mark.broker),
        pytest.param("aio_pika_engine", marks=pytest.mark.broker),
    ]
)
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    if request.param != "memory":
        yield Side(request.param, request.getfixturevalue("broker").url, request.getfixturevalue("namespace"))
        return
    from warren.amqp import memory

    name = uuid.uuid4().hex
    yield Side("memory", f"memory://{name}", "t")
    memory.reset(name)
