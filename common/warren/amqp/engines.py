"""Which engine serves a URL, and trying several brokers in turn."""

import importlib
from typing import Protocol

from warren.amqp.seam import ConnectFailed, Connection


class Connect(Protocol):
    """An engine's way to open a connection."""

    async def __call__(self, url: str, *, name: str, heartbeat: int, timeout: float) -> Connection: ...


def engine(url: str, preferred: str) -> Connect:
    """Return the connect function for a URL; engines are imported only when used.

    Args:
        url: `memory://name` is always the in-memory broker.
        preferred: `pika` or `aio_pika`, for anything else.
    """
    module = "memory" if url.startswith("memory:") else f"{preferred}_engine"
    connect: Connect = importlib.import_module(f"warren.amqp.{module}").connect
    return connect


async def connect_any(
    urls: tuple[str, ...], preferred: str, *, name: str, heartbeat: int, timeout: float
) -> Connection:
    """Open a connection to the first broker that answers.

    Raises:
        ConnectFailed: none did; the message names what each said, without credentials. `permanent` if all refused for good.
    """
    failures: list[ConnectFailed] = []
    for url in urls:
        try:
            return await engine(url, preferred)(url, name=name, heartbeat=heartbeat, timeout=timeout)
        except ConnectFailed as failed:
            failures.append(ConnectFailed(f"{without_password(url)}: {failed}", permanent=failed.permanent))
    raise ConnectFailed("; ".join(map(str, failures)), permanent=all(failed.permanent for failed in failures))


def without_password(url: str) -> str:
    """Return a broker URL fit for a log."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}{separator}{user}:***@{place}" if at and ":" in credentials else url
