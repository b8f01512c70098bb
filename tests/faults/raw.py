"""What anybody with an AMQP client or the management API can do to the broker."""

from typing import Any
from urllib.parse import quote

import pika
from tests.support import Broker, Management, eventually

RECORD = "tests.faults.jobs:record"


def publish_raw(broker: Broker, namespace: str, body: bytes, **properties: Any) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    channel.confirm_delivery()
    said = pika.BasicProperties(**properties)  # type: ignore[no-untyped-call]
    channel.basic_publish(f"{namespace}.jobs", "default", body, said, mandatory=True)
    connection.close()


def dead_letters(broker: Broker, namespace: str) -> list[tuple[str, bytes]]:
    """Reason and body of every dead letter; they stay where they are."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    channel = connection.channel()
    found = []
    while True:
        method, properties, body = channel.basic_get(f"{namespace}.dead")
        if method is None or properties is None:
            break
        found.append((str((properties.headers or {}).get("warren-dead-reason", "")), body or b""))
    connection.close()
    return found


def delete(broker: Broker, kind: str, name: str) -> None:
    """Delete a queue or an exchange, as an operator can; kind is `queues` or `exchanges`."""
    management = Management(broker)
    management.call("DELETE", f"{kind}/{management.vhost}/{name}")
    management.close()


def cut(broker: Broker, name: str) -> int:
    """Close every connection whose name has this in it, as an administrator does; how many there were."""
    management = Management(broker)
    try:
        found = eventually(
            lambda: [
                str(one["name"])
                for one in management.call("GET", "connections")
                if name in str(one.get("client_properties", {}))
            ],
            20,
            f"connections named {name!r} are listed",
        )
        for one in found:
            management.call("DELETE", f"connections/{quote(one)}")
    finally:
        management.close()
    return len(found)
