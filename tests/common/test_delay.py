"""A delay is never too short, hardly longer, and its way through the levels ends in the queue, once."""

import math
from collections import deque
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.amqp.memory_exchanges import matches, words
from warren.delay import MAX_DELAY_SECONDS, DelayTooLong, route, ticks
from warren.topology import DELAY_LEVELS, DELAY_UNIT_MS, Binding, Exchange, Item, Names, Queue, everything

NAMES = Names("w")
UNIT = DELAY_UNIT_MS / 1000
queue_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,30}", fullmatch=True)
delays = st.floats(0, MAX_DELAY_SECONDS) | st.floats(0, 100)


@given(delays)
def test_a_delay_is_never_shorter_than_asked_and_hardly_longer(seconds: float) -> None:
    waited = ticks(seconds) * UNIT
    assert seconds - 1e-6 <= waited <= seconds * 1.003 + UNIT


@given(st.floats(0, 100))
def test_a_short_delay_is_exact_to_a_unit(seconds: float) -> None:
    assert ticks(seconds) == max(1, math.ceil(round(seconds / UNIT, 6)))


@given(delays)
def test_a_route_is_the_delay_in_binary_before_the_queue(seconds: float) -> None:
    exchange, key = route(NAMES, "a.b", seconds)
    digits = key.split(".")[:DELAY_LEVELS]
    assert int("".join(digits), 2) == ticks(seconds)
    assert key == f"{'.'.join(digits)}.a.b"
    assert exchange == NAMES.delay(DELAY_LEVELS - 1 - digits.index("1"))


@given(delays)
def test_a_long_delay_takes_few_hops(seconds: float) -> None:
    assert route(NAMES, "q", seconds)[1].count("1") <= 11


def test_the_shortest_delay_is_one_unit() -> None:
    assert route(NAMES, "q", 0.001) == (NAMES.delay(0), "0." * (DELAY_LEVELS - 1) + "1.q")


def test_a_year_fits() -> None:
    exchange, _ = route(NAMES, "q", MAX_DELAY_SECONDS)
    assert exchange == NAMES.delay(DELAY_LEVELS - 1)


@pytest.mark.parametrize("seconds", [MAX_DELAY_SECONDS + 1, math.inf, math.nan])
def test_more_than_a_year_is_refused(seconds: float) -> None:
    with pytest.raises(DelayTooLong, match="more than a year") as refused:
        route(NAMES, "q", seconds)
    assert refused.value.seconds == seconds or math.isnan(seconds)


# --- the topology, walked --------------------------------------------------------------------------------------------


class Walker:
    """Walks messages through declared items as RabbitMQ would, adding up the time they wait."""

    def __init__(self, items: Iterable[Item]) -> None:
        declared = list(items)
        self.kinds = {item.name: item for item in declared if isinstance(item, Exchange)}
        self.queues = {item.name: item for item in declared if isinstance(item, Queue)}
        self.bindings: dict[str, list[Binding]] = {}
        for item in declared:
            if isinstance(item, Binding):
                self.bindings.setdefault(item.source, []).append(item)

    def reached(self, exchange: str, key: str) -> set[str]:
        """Return the queues that a publish reaches at once."""
        found, ahead = set(), deque([exchange])
        while ahead:
            source = ahead.popleft()
            taken = [binding for binding in self.bindings.get(source, []) if self._takes(source, binding, key)]
            if not taken and "alternate-exchange" in self.kinds[source].arguments:
                ahead.append(str(self.kinds[source].arguments["alternate-exchange"]))
            for binding in taken:
                if binding.to_exchange:
                    ahead.append(binding.target)
                else:
                    found.add(binding.target)
        return found

    def _takes(self, source: str, binding: Binding, key: str) -> bool:
        match self.kinds[source].kind:
            case "fanout":
                return True
            case "direct":
                return binding.key == key
            case "headers":
                return False  # a job without headers
            case _:
                return matches(words(binding.key), words(key))

    def arrivals(self, exchange: str, key: str) -> list[tuple[str, int]]:
        """Return each queue without a time to live in which the message ends, with the milliseconds until then."""
        ended, ahead = [], [(exchange, key, 0)]
        while ahead:
            exchange, key, waited = ahead.pop()
            for name in self.reached(exchange, key):
                arguments = self.queues[name].arguments
                ttl = arguments.get("x-message-ttl")
                if ttl is None:
                    ended.append((name, waited))
                else:
                    ahead.append((str(arguments["x-dead-letter-exchange"]), key, waited + int(ttl)))
        return ended


QUEUES = ("default", "a.b", "b", "1.0", "0")
PLAN = Walker(everything(NAMES, QUEUES))


@settings(max_examples=150)
@given(queue=st.sampled_from(QUEUES), seconds=delays)
def test_a_delayed_job_comes_to_its_queue_exactly_once_and_on_time(queue: str, seconds: float) -> None:
    exchange, key = route(NAMES, queue, seconds)
    assert PLAN.arrivals(exchange, key) == [(NAMES.queue(queue), ticks(seconds) * DELAY_UNIT_MS)]


@given(seconds=delays)
def test_a_job_whose_queue_is_gone_comes_out_as_a_dead_letter(seconds: float) -> None:
    exchange, key = route(NAMES, "gone", seconds)
    waited = ticks(seconds) * DELAY_UNIT_MS
    assert sorted(PLAN.arrivals(exchange, key)) == [(NAMES.dead, waited), (NAMES.schedules, waited)]


@given(queue=st.sampled_from(QUEUES))
def test_a_job_without_delay_comes_to_its_queue_at_once(queue: str) -> None:
    assert PLAN.arrivals(NAMES.jobs, queue) == [(NAMES.queue(queue), 0)]


@given(one=queue_names, other=queue_names, seconds=delays)
def test_no_queue_gets_what_is_meant_for_another(one: str, other: str, seconds: float) -> None:
    plan = Walker(everything(NAMES, tuple({one, other, f"{one}.{other}"})))
    for queue in (one, f"{one}.{other}"):
        assert [name for name, _ in plan.arrivals(*route(NAMES, queue, seconds))] == [NAMES.queue(queue)]
