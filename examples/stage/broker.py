"""A broker for an example, and a namespace on it that is the example's alone."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pika
from examples.stage.leftovers import remove
from examples.stage.telling import console

from warren.console.private_broker import private_broker
from warren.settings import Settings, load


@contextmanager
def broker(*queues: str) -> Iterator[Settings]:
    """Settings for the broker of WARREN_URL, or for a private one; what was declared on it is removed afterwards."""
    namespace = f"demo-{secrets.token_hex(4)}"
    if os.environ.get("WARREN_URL"):
        settings = load(namespace=namespace, queues=queues)
        console.print("using the broker of WARREN_URL")
        try:
            yield settings
        finally:
            remove(settings)
        return
    console.print("starting a private RabbitMQ (set WARREN_URL to use another)")
    with private_broker() as private:
        yield load(url=private.url, management_url=private.management_url, namespace=namespace, queues=queues)


def version(settings: Settings) -> tuple[int, ...]:
    """Return the broker's version, as (4, 3)."""
    connection = pika.BlockingConnection(pika.URLParameters(settings.urls[0]))
    try:
        properties = connection._impl.server_properties or {}  # noqa: SLF001 - pika shows them nowhere else
    finally:
        connection.close()
    return tuple(int(part) for part in str(properties["version"]).split(".")[:2])
