"""Shares of the weights are exact, nothing is saved up by an empty queue, and a strict order is never left."""

import itertools
from collections import Counter
from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from warren.shares import Share
from warren.worker.order import Order, Strict, Weighted

weights = st.lists(st.integers(1, 12), min_size=2, max_size=6)


def served(found: list[int]) -> list[Share]:
    return [Share(f"q{number}", weight) for number, weight in enumerate(found)]


def names(shares: list[Share]) -> list[str]:
    return [share.queue for share in shares]


def picks(order: Order, ready: Collection[str], number: int) -> list[str]:
    chosen = [order.pick(ready, ()) for _ in range(number)]
    return [pick.queue for pick in chosen if pick is not None]


@given(weights, st.integers(0, 200))
def test_in_any_cycle_each_queue_has_its_weight(found: list[int], before: int) -> None:
    shares = served(found)
    order = Weighted(shares)
    picks(order, names(shares), before)
    cycle = Counter(picks(order, names(shares), sum(found)))
    assert cycle == {share.queue: share.weight for share in shares}


def test_the_turns_of_a_heavy_queue_are_spread() -> None:
    order = Weighted([Share("a", 5), Share("b"), Share("c")])
    assert "".join(picks(order, "abc", 7)) == "aabacaa"  # the example of nginx's own commit


@given(weights, st.data())
def test_an_empty_queues_turns_go_to_the_others_in_proportion(found: list[int], data: st.DataObject) -> None:
    shares = served(found)
    order = Weighted(shares)
    picks(order, names(shares), data.draw(st.integers(0, 50)))
    present = data.draw(st.lists(st.sampled_from(shares), min_size=1, unique=True))
    total, cycles = sum(share.weight for share in present), 20
    counted = Counter(picks(order, names(present), total * cycles))
    for share in present:
        assert abs(counted[share.queue] - share.weight * cycles) <= len(shares)


@given(weights, st.data())
def test_a_queue_that_was_found_empty_is_as_if_it_had_not_been_asked(found: list[int], data: st.DataObject) -> None:
    shares = served(found)
    asked, never = Weighted(shares), Weighted(shares)
    before = data.draw(st.integers(0, 50))
    picks(asked, names(shares), before)
    picks(never, names(shares), before)
    empty = asked.pick(names(shares), ())
    assert empty is not None
    asked.undo(empty)
    others = [queue for queue in names(shares) if queue != empty.queue]
    assert picks(asked, others, sum(found)) == picks(never, others, sum(found))


@given(weights, st.data())
def test_a_queue_saves_up_nothing_while_it_is_empty(found: list[int], data: st.DataObject) -> None:
    shares = served(found)
    order = Weighted(shares)
    away = data.draw(st.sampled_from(shares))
    others = [queue for queue in names(shares) if queue != away.queue]
    picks(order, names(shares), data.draw(st.integers(0, 50)))
    for _ in range(data.draw(st.integers(1, 30))):
        picks(order, others, data.draw(st.integers(0, 40)))
        picks(order, names(shares), data.draw(st.integers(0, 3)))
    picks(order, others, 200)
    back = picks(order, names(shares), 2 * sum(found))
    for number in range(1, len(back) + 1):
        due = number * away.weight / sum(found)
        assert back[:number].count(away.queue) <= due + 2


@given(weights, st.data())
def test_choices_that_are_taken_back_leave_no_trace(found: list[int], data: st.DataObject) -> None:
    shares = served(found)
    order, untouched = Weighted(shares), Weighted(shares)
    some = st.lists(st.sampled_from(names(shares)), unique=True)
    undone = [order.pick(data.draw(some), ()) for _ in range(5)]
    for pick in data.draw(st.permutations(undone)):
        if pick is not None:
            order.undo(pick)
    number = sum(found)
    assert picks(order, names(shares), number) == picks(untouched, names(shares), number)


def test_weights_do_not_wait_for_a_queue_that_may_be_empty() -> None:
    order = Weighted([Share("a", 9), Share("b")])
    assert set(picks(order, ["b"], 5)) == {"b"}
    assert order.pick(["b"], ["a"]) is not None
    assert order.pick([], ["a"]) is None


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")))
def test_strict_takes_the_first_that_may_have_a_job_and_waits_for_what_comes_before_it(
    ready: set[str], asked: set[str]
) -> None:
    pick = Strict("abcd").pick(ready - asked, asked)
    first = next((queue for queue in "abcd" if queue in ready | asked), None)
    assert (pick and pick.queue) == (None if first in asked else first)


def test_strict_keeps_no_account() -> None:
    order = Strict(["a", "b"])
    pick = order.pick(["b"], ())
    assert pick is not None
    order.undo(pick)
    assert list(itertools.repeat("a", 3)) == picks(order, ["a", "b"], 3)
