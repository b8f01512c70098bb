"""What is declared, and under which names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren import topology
from warren.amqp.memory_exchanges import matches, words
from warren.errors import InvalidName
from warren.topology import DELAY_LEVELS, Binding, Exchange, Names, Queue, check_name, everything, work_queue

NAMES = Names("ns")
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,40}", fullmatch=True)


def test_everything_is_under_the_namespace() -> None:
    items = everything(NAMES, ("a", "b"))
    found = {item.name for item in items if not isinstance(item, Binding)}
    assert {name.split(".")[0] for name in found} == {"ns"}


def test_names_are_what_the_protocol_says() -> None:
    names = Names()
    assert (names.jobs, names.results, names.dead) == ("warren.jobs", "warren.results", "warren.dead")
    assert names.queue("default") == "warren.queue.default"
    assert names.delay(3) == "warren.delay.03"
    assert names.reply("x") == "warren.reply.x"
    assert names.workflows == "warren.workflows"
    assert (names.control, names.hears("x")) == ("warren.control", "warren.control.x")


@given(names, names)
def test_a_queue_name_survives_the_way_to_the_broker_and_back(namespace: str, queue: str) -> None:
    named = Names(namespace)
    assert named.queue_of(named.queue(queue)) == queue


@given(names)
def test_usable_names_are_taken(name: str) -> None:
    assert check_name(name, "queue") == name


@pytest.mark.parametrize("name", ["", "a b", "a#", "*", ".a", "-a", "a/b", "ä", "a\n", "a" * 101])
def test_names_that_routing_could_misread_are_refused(name: str) -> None:
    with pytest.raises(InvalidName, match=r"queue .* is not a usable name: take 1 to 100") as refused:
        check_name(name, "queue")
    assert refused.value.name == name
    with pytest.raises(InvalidName, match="namespace"):
        Names(name)
    with pytest.raises(InvalidName):
        list(work_queue(NAMES, name))


@given(names, names)
def test_the_queue_of_one_name_never_gets_a_delayed_job_of_another(one: str, other: str) -> None:
    pattern = next(
        item.key for item in work_queue(NAMES, one) if isinstance(item, Binding) and item.source == NAMES.delay_out
    )
    digits = "01" * DELAY_LEVELS
    for queue in (one, other, f"{other}.{one}", f"{one}.{other}"):
        key = f"{'.'.join(digits[:DELAY_LEVELS])}.{queue}"
        assert matches(words(pattern), words(key)) == (queue == one)


def test_every_binding_is_between_what_was_declared_before() -> None:
    declared: set[str] = set()
    for item in everything(NAMES, ("a", "a.b")):
        if isinstance(item, Binding):
            assert item.source in declared
            assert item.target in declared or item.target == item.source
        else:
            declared.add(item.name)


def test_every_queue_has_an_explicit_type_and_every_quorum_queue_a_positive_delivery_limit() -> None:
    for item in everything(NAMES, ("a",)):
        if isinstance(item, Queue):
            assert item.arguments["x-queue-type"] in {"quorum", "stream"}
            if item.arguments["x-queue-type"] == "quorum":
                assert int(item.arguments["x-delivery-limit"]) > 0


def test_dead_lettering_is_at_least_once_wherever_it_happens() -> None:
    for item in everything(NAMES, ("a",)):
        if isinstance(item, Queue) and "x-dead-letter-exchange" in item.arguments:
            assert item.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert item.arguments["x-overflow"] == "reject-publish"


def test_dead_letters_are_never_thrown_away_by_looking_at_them() -> None:
    dead = next(item for item in topology.base(NAMES) if isinstance(item, Queue) and item.name == NAMES.dead)
    assert "x-dead-letter-exchange" not in dead.arguments
    assert int(dead.arguments["x-delivery-limit"]) >= 1_000_000


def test_the_levels_double() -> None:
    levels = [item for item in topology.delays(NAMES) if isinstance(item, Queue)]
    assert len(levels) == DELAY_LEVELS
    assert [int(level.arguments["x-message-ttl"]) for level in levels] == [100 * 2**n for n in range(DELAY_LEVELS)]


def test_the_marker_of_the_levels_is_declared_after_them() -> None:
    assert list(topology.delays(NAMES))[-1] == topology.delays_marker(NAMES)
    assert isinstance(topology.delays_marker(NAMES), Exchange)


def test_no_item_is_declared_twice_with_different_arguments() -> None:
    items = everything(NAMES, ("a", "a.b", "b"))
    seen: dict[tuple[type, str], object] = {}
    for item in items:
        if not isinstance(item, Binding):
            assert seen.setdefault((type(item), item.name), item) == item
