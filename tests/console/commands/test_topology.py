"""`warren topology`: shown, applied, checked; a mismatch explained."""

from typing import Any

import pika
import pytest
from tests.console.executable import Warren
from tests.support import Broker, Management

from warren.topology import Names, Queue, work_queue


def declare(url: str, queue: str, **arguments: Any) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    connection.channel().queue_declare(queue, durable=True, arguments=arguments)
    connection.close()


def test_the_plan_is_shown_without_a_broker(alone: Warren) -> None:
    text = alone.ok("topology", "show", "--queue", "images", "--namespace", "app")
    for expected in ("app.jobs", "app.queue.images", "app.dead", "29 times", "x-delivery-limit=20"):
        assert expected in text
    assert "set_permissions" not in text
    items = alone.json("topology", "show", "--queue", "a", "--queue", "b")["items"]
    assert {one["name"] for one in items if one["kind"] == "quorum queue"} >= {"warren.queue.a", "warren.queue.b"}
    assert {"kind", "source", "target", "target_kind", "key"} == set(items[-1])


def test_the_least_rights_are_shown_on_demand(alone: Warren) -> None:
    text = alone.ok("topology", "show", "--permissions", "--url", "amqp://h/app")
    assert text.count("rabbitmqctl set_permissions -p app USER") == 9
    rights = alone.json("topology", "show", "--permissions")["permissions"]
    assert rights[0]["who"] == "producer"
    assert {"who", "configure", "write", "read"} == set(rights[0])


@pytest.mark.broker
def test_nothing_is_there_until_it_is_applied(warren: Warren, broker: Broker, namespace: str) -> None:
    missing = warren.json("topology", "check", "--queue", "images", code=1)
    assert {one["state"] for one in missing} == {"missing"}
    management = Management(broker)
    assert management.names("queues", namespace) == []
    assert management.names("exchanges", namespace) == []
    management.close()
    assert (
        f"of namespace '{namespace}' are as they should be" in warren("topology", "apply", "--queue", "images").stderr
    )
    present = warren.json("topology", "check", "--queue", "images")
    assert {one["state"] for one in present} == {"present"}
    assert warren.json("topology", "apply", "--queue", "images") == {"declared": len(present), "refused": []}


@pytest.mark.broker
def test_the_levels_of_the_delay_are_one_line_while_they_agree(warren: Warren) -> None:
    done = warren("topology", "check")
    assert done.returncode == 1
    assert done.stdout.count("delay levels") == 1
    assert "topology apply" in done.stderr


@pytest.mark.broker
def test_a_mismatch_names_the_argument_both_values_and_what_to_do(
    warren: Warren, broker: Broker, namespace: str
) -> None:
    wanted = next(item for item in work_queue(Names(namespace), "images") if isinstance(item, Queue))
    declare(broker.url, wanted.name, **{**wanted.arguments, "x-delivery-limit": 5})
    applied = warren("topology", "apply", "--queue", "images")
    assert applied.returncode == 1
    assert "topology check" in applied.stderr
    done = warren("topology", "check", "--queue", "images")
    assert done.returncode == 1
    assert "the broker has x-delivery-limit = 5, Warren wants x-delivery-limit = 20" in done.stdout
    assert f"rabbitmqctl delete_queue -p / {namespace}.queue.images" in done.stdout
    assert "warren topology apply --queue images" in done.stdout
    found = [one for one in warren.json("topology", "check", "--queue", "images", code=1) if one["state"] != "present"]
    mismatch = [one for one in found if one["state"] == "mismatch"]
    assert [one["name"] for one in mismatch] == [f"{namespace}.queue.images"]
    assert len(mismatch[0]["advice"]) == 3


@pytest.mark.broker
def test_a_classic_queue_in_the_place_of_a_quorum_queue_is_explained(
    warren: Warren, broker: Broker, namespace: str
) -> None:
    declare(broker.url, f"{namespace}.queue.images")
    done = warren("topology", "check", "--queue", "images")
    assert done.returncode == 1
    assert "Warren wants x-" in done.stdout


@pytest.mark.broker
def test_without_the_management_api_bindings_are_said_to_be_unseen(warren: Warren) -> None:
    warren.ok("topology", "apply")
    done = warren("topology", "check", "--management-url", "http://127.0.0.1:1")
    assert done.returncode == 0
    assert "bindings cannot be looked at over AMQP" in done.stderr
    states = {one["state"] for one in warren.json("topology", "check", "--management-url", "http://127.0.0.1:1")}
    assert states == {"present", "unknown"}
