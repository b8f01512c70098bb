"""What a broker says about itself: its version over AMQP, its consumer timeouts by the management API."""

import asyncio
from typing import Any

from warren.amqp.seam import ConnectFailed
from warren.console.checkup import BrokerFacts
from warren.console.management import Management, ManagementUnavailable
from warren.settings import Settings
from warren.topology import Names


async def facts_of(settings: Settings) -> tuple[BrokerFacts, str]:
    """Return what is known of a broker that can be reached, and why the rest is not known."""
    names = Names(settings.namespace)
    version = await _version(settings)
    try:
        queues = await asyncio.to_thread(Management.of(settings).queues, names.queue(""))
    except ManagementUnavailable as error:
        return BrokerFacts(version), str(error)
    timeouts = {names.queue_of(queue["name"]): _timeout(queue) for queue in queues}
    return BrokerFacts(version, {queue: seconds for queue, seconds in timeouts.items() if seconds is not None}), ""


def _timeout(queue: dict[str, Any]) -> float | None:
    """Of an argument, else of the policy in force; what the node's configuration says cannot be seen from outside."""
    arguments, policy = queue.get("arguments") or {}, queue.get("effective_policy_definition") or {}
    milliseconds = arguments.get("x-consumer-timeout", policy.get("consumer-timeout"))
    return milliseconds / 1000 if isinstance(milliseconds, int) else None


async def _version(settings: Settings) -> tuple[int, ...] | None:
    """Every AMQP connection begins with the server's properties; our seam has no need of them, so they are asked for here."""
    for url in settings.urls:
        if url.startswith("memory:"):
            return None
        try:
            async with asyncio.timeout(settings.connect_timeout):
                return _numbers(await _server_properties(url))
        except (TimeoutError, ConnectFailed):
            continue
    return None


async def _server_properties(url: str) -> dict[str, Any]:
    import pika  # noqa: PLC0415
    from pika.adapters.asyncio_connection import AsyncioConnection  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    told: asyncio.Future[dict[str, Any]] = loop.create_future()

    def on_open(connection: AsyncioConnection) -> None:
        if not told.done():
            told.set_result(dict(connection.server_properties or {}))
        connection.close()

    def on_error(_: object, error: BaseException) -> None:
        if not told.done():
            told.set_exception(ConnectFailed(str(error)))

    AsyncioConnection(pika.URLParameters(url), on_open, on_error, lambda *_: None, custom_ioloop=loop)
    return await told


def _numbers(properties: dict[str, Any]) -> tuple[int, ...] | None:
    words = str(properties.get("version", "")).partition("-")[0].split(".")
    return tuple(int(word) for word in words) if all(word.isdigit() for word in words) else None
