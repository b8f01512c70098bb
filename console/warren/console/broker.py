"""A command's connection to the broker: opened for the command, closed with it, its errors made readable."""

import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from warren.amqp.engines import connect_any
from warren.amqp.seam import ChannelRefused, ConnectFailed, Connection, ConnectionLost
from warren.errors import BrokerUnavailable, WarrenError
from warren.producer import Producer
from warren.settings import Settings


class BrokerRefused(WarrenError):
    """The broker said no to what was asked: a missing permission, mostly."""


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    """Open a connection for one command.

    Raises:
        BrokerUnavailable: none could be opened, or it was lost meanwhile.
        BrokerRefused: the broker said no to something.
    """
    quiet_libraries()
    try:
        connection = await connect_any(
            settings.urls,
            settings.engine or "pika",
            name=f"warren command line {socket.gethostname()}:{os.getpid()}",
            heartbeat=settings.heartbeat,
            timeout=settings.connect_timeout,
        )
    except ConnectFailed as error:
        raise BrokerUnavailable(f"no broker could be reached: {error}") from error
    try:
        yield connection
    except ConnectionLost as error:
        raise BrokerUnavailable(f"the connection to the broker was lost: {error}") from error
    except ChannelRefused as error:
        raise BrokerRefused(
            f"the broker refuses: {error}; `warren topology show --permissions` tells which rights who needs"
        ) from error
    finally:
        await connection.close()


@contextmanager
def producing(settings: Settings) -> Iterator[Producer]:
    """Open a producer for one command.

    Raises:
        BrokerUnavailable: none could be reached within `publish_timeout`.
    """
    quiet_libraries()
    with Producer(settings) as producer:
        yield producer


def quiet_libraries() -> None:
    """What the client libraries log of a failing connection is said by our own errors, once."""
    for name in ("pika", "aio_pika", "aiormq"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
