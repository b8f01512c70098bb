"""Comparing the plan with a broker: what RabbitMQ says is made readable, and looking changes nothing."""

import asyncio

import pytest

from warren import topology
from warren.amqp import memory
from warren.amqp.seam import ChannelRefused
from warren.console.topology_state import Comparison, Finding, State, explained, is_of_delays
from warren.topology import Binding, Names, Queue

NAMES = Names()
LIMIT = "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'warren.queue.a' in vhost '/': "
KIND = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'warren.jobs' in vhost 'a/b': "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{LIMIT}received the value '20' of type 'signedint' but current is the value '5' of type 'long'",
            "the broker has x-delivery-limit = 5, Warren wants x-delivery-limit = 20",
        ),
        (
            f"{LIMIT}received the value '20' of type 'signedint' but current is none",
            "the broker has no x-delivery-limit, Warren wants x-delivery-limit = 20",
        ),
        (
            f"{LIMIT}received none but current is the value '5' of type 'signedint'",
            "the broker has x-delivery-limit = 5, Warren wants no x-delivery-limit",
        ),
        (
            f"{KIND}received 'direct' but current is 'topic'",
            "the broker has type = topic, Warren wants type = direct",
        ),
        ("ACCESS_REFUSED - whatever", "the broker says: ACCESS_REFUSED - whatever"),
    ],
)
def test_a_406_is_explained(text: str, said: str) -> None:
    assert explained(text) == said


def compare(name: str, *existing: topology.Item, plan: tuple[topology.Item, ...]) -> list[Finding]:
    async def work() -> list[Finding]:
        connection = await memory.connect(f"memory://{name}")
        try:
            await connection.declare(*existing)
            findings = await Comparison(connection, NAMES, "/", frozenset()).look(plan)
            for finding in findings:
                if finding.state is State.MISSING and isinstance(finding.item, Queue):
                    assert not await connection.exists(finding.item)
            return findings
        finally:
            await connection.close()

    return asyncio.run(work())


def test_what_is_missing_is_told_and_not_made(memory_name: str) -> None:
    plan = tuple(topology.base(NAMES))
    assert {one.state for one in compare(memory_name, plan=plan)} == {State.MISSING}


def test_what_is_there_is_present_and_bindings_are_as_the_management_api_says(memory_name: str) -> None:
    plan = tuple(topology.base(NAMES))
    for finding in compare(memory_name, *plan, plan=plan):
        assert finding.state is (State.MISSING if isinstance(finding.item, Binding) else State.PRESENT)


def test_bindings_are_unknown_without_the_management_api() -> None:
    class Nobody:
        """A binding needs no look at the broker."""

    comparison = Comparison(Nobody(), NAMES, "/", None)  # type: ignore[arg-type]
    (finding,) = asyncio.run(comparison.look([Binding("a", "b", "c")]))
    assert finding.state is State.UNKNOWN


def test_a_mismatch_comes_with_the_steps_that_mend_it(memory_name: str) -> None:
    name = NAMES.queue("images")
    plan = tuple(item for item in topology.work_queue(NAMES, "images") if isinstance(item, Queue))
    other = Queue(name, {"x-queue-type": "quorum", "x-delivery-limit": 5})
    (finding,) = compare(memory_name, other, plan=plan)
    assert finding.state is State.MISMATCH
    assert "warren worker MODULE --queue images" in finding.advice[0]
    assert finding.advice[1:] == (
        "rabbitmqctl delete_queue -p / warren.queue.images",
        "warren topology apply --queue images",
    )


def test_what_would_be_forgotten_with_the_control_stream_is_said_before_it_is_deleted(memory_name: str) -> None:
    plan = tuple(item for item in topology.base(NAMES) if item == Queue(NAMES.control, topology.CONTROL_STREAM))
    (finding,) = compare(memory_name, Queue(NAMES.control, {"x-queue-type": "stream", "x-max-age": "1D"}), plan=plan)
    assert "cancellations and pauses are forgotten with it" in finding.advice[0]
    assert finding.advice[1:] == ("rabbitmqctl delete_queue -p / warren.control", "warren topology apply")


def test_without_the_right_to_declare_arguments_are_not_compared(
    memory_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tuple(item for item in topology.base(NAMES) if isinstance(item, Queue))

    async def work() -> list[Finding]:
        connection = await memory.connect(f"memory://{memory_name}")
        await connection.declare(*plan)

        async def refused(*_: topology.Item) -> None:
            raise ChannelRefused(403, "ACCESS_REFUSED - configure access refused")

        monkeypatch.setattr(connection, "declare", refused)
        found = await Comparison(connection, NAMES, "/", None).look(plan)
        await connection.close()
        return found

    assert {one.state for one in asyncio.run(work())} == {State.DENIED}


def test_the_levels_of_the_delay_are_told_from_the_rest() -> None:
    items = topology.everything(NAMES, ("delay.x",))
    levels = [item for item in items if is_of_delays(item, NAMES)]
    assert len(levels) == len(tuple(topology.delays(NAMES)))
