"""Whatever happens to a pool's processes, every slot has exactly one to give jobs to, and none is forgotten."""

import dataclasses

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from warren.worker.process import Listeners, PoolProcess
from warren.worker.roster import Renewal, Roster

NOBODY = Listeners(*(lambda *_: None for _ in dataclasses.fields(Listeners)))


def process(slot: int) -> PoolProcess:
    return PoolProcess(slot, NOBODY)


def with_processes(count: int) -> Roster:
    roster = Roster({})
    for slot in range(count):
        roster.add(process(slot))
    return roster


def test_a_successor_takes_the_place_when_it_is_ready_and_not_before() -> None:
    roster = with_processes(1)
    (old,) = roster
    new = process(0)
    roster.add(new)
    assert roster.in_place == {0: old}
    assert roster.ready(new) is old
    assert (roster.in_place, roster.coming) == ({0: new}, {})


def test_a_successor_that_dies_leaves_the_old_one_in_its_place() -> None:
    roster = with_processes(1)
    (old,) = roster
    new = process(0)
    roster.add(new)
    assert not roster.ended(new)
    assert (roster.in_place, roster.coming) == ({0: old}, {})


def test_the_successor_of_one_that_dies_is_in_its_place_already_and_no_third_is_needed() -> None:
    roster = with_processes(1)
    (old,) = roster
    new = process(0)
    roster.add(new)
    old.alive = False
    assert not roster.ended(old)
    assert (roster.in_place, roster.coming) == ({0: new}, {})


def test_a_few_are_replaced_at_a_time_until_all_are() -> None:
    roster = with_processes(8)
    before = set(roster)
    started: list[int] = []

    def start(slot: int) -> None:
        started.append(slot)
        roster.add(process(slot))

    renewal = Renewal(roster, start)
    for old in tuple(roster):
        renewal.ask(old)
    assert started == [0, 1]
    while roster.coming:
        roster.ready(next(iter(roster.coming.values())))
        renewal.go_on()
    assert started == list(range(8))
    assert before.isdisjoint(roster)


def test_those_that_leave_and_still_run_something_do_not_pile_up() -> None:
    roster = with_processes(4)
    renewal = Renewal(roster, lambda slot: roster.add(process(slot)))

    def all_are_to_be_replaced() -> None:
        for one in tuple(roster.in_place.values()):
            renewal.ask(one)
        while roster.coming:
            roster.leaving.add(roster.ready(next(iter(roster.coming.values()))) or process(9))
            renewal.go_on()

    for _ in range(5):
        all_are_to_be_replaced()
    assert len(roster.leaving) == 4
    ended = next(iter(roster.leaving))
    ended.alive = False
    renewal.fill(ended.slot if roster.ended(ended) else None)
    assert len(roster.coming) == 1, "now the next may leave"


def test_after_a_successor_that_could_not_start_the_next_waits_however_often_it_is_asked_for() -> None:
    roster = with_processes(1)
    (old,) = roster
    started: list[int] = []
    renewal = Renewal(roster, started.append)
    renewal.hold_up()
    for _ in range(3):
        renewal.ask(old)
    assert started == []
    renewal.fill(None)
    assert started == [0]


def test_one_that_runs_nothing_and_is_given_nothing_more_is_replaced_however_many_still_finish() -> None:
    roster = with_processes(2)
    first, second = roster
    roster.leaving.update((process(0), process(1)))
    renewal = Renewal(roster, lambda slot: roster.add(process(slot)))
    renewal.ask(first)
    assert roster.coming == {}
    second.spent = True
    renewal.ask(second)
    assert list(roster.coming) == [1]


def test_those_whose_slot_was_given_up_hold_up_no_renewal() -> None:
    roster = with_processes(3)
    for slot in (2, 1):
        roster.leaving.update(roster.vacate(slot))
    Renewal(roster, lambda slot: roster.add(process(slot))).ask(roster.in_place[0])
    assert list(roster.coming) == [0]


def test_one_that_has_lost_its_place_meanwhile_is_not_replaced() -> None:
    roster = with_processes(2)
    first, second = roster
    started: list[int] = []
    roster.vacate(1)
    renewal = Renewal(roster, started.append)
    renewal.ask(second)
    assert started == []
    renewal.ask(first)
    assert started == [0]


class AnyHistory(RuleBasedStateMachine):
    """Starts, deaths, renewals and other sizes in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster({})
        self.renewal = Renewal(self.roster, self.start)
        self.size = 0
        self.starting: list[PoolProcess] = []
        self.running: list[PoolProcess] = []

    def start(self, slot: int) -> None:
        assert slot < self.size
        new = process(slot)
        self.roster.add(new)
        self.starting.append(new)

    @initialize(size=st.integers(1, 6))
    def begins(self, size: int) -> None:
        self.resized(size)

    @rule(size=st.integers(1, 6))
    def resized(self, size: int) -> None:
        before, self.size = self.size, size
        for slot in range(before, size):
            self.start(slot)
        for slot in range(size, before):
            self.roster.leaving.update(self.roster.vacate(slot))

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def one_is_ready(self, data: st.DataObject) -> None:
        new = data.draw(st.sampled_from(self.starting))
        self.starting.remove(new)
        self.running.append(new)
        old = self.roster.ready(new)
        if old is not None:
            self.roster.leaving.add(old)
            self.renewal.go_on()

    @precondition(lambda self: self.starting or self.running)
    @rule(data=st.data())
    def one_dies(self, data: st.DataObject) -> None:
        dead = data.draw(st.sampled_from([*self.starting, *self.running]))
        (self.starting if dead in self.starting else self.running).remove(dead)
        dead.alive = False
        if self.roster.ended(dead) and not self.roster.has(dead.slot) and dead.slot < self.size:
            self.start(dead.slot)
        self.renewal.go_on()

    @precondition(lambda self: self.size)
    @rule(data=st.data())
    def one_is_to_be_replaced(self, data: st.DataObject) -> None:
        self.renewal.ask(data.draw(st.sampled_from(list(self.roster.in_place.values()))))

    @invariant()
    def every_slot_has_one(self) -> None:
        assert sorted(self.roster.in_place) == list(range(self.size))
        assert all(each.alive for each in self.roster.in_place.values())

    @invariant()
    def none_is_forgotten_or_counted_twice(self) -> None:
        everyone = list(self.roster)
        assert len(everyone) == len(set(everyone))
        assert set(everyone) == {*self.starting, *self.running}

    @invariant()
    def those_that_come_are_not_ready_and_few(self) -> None:
        assert set(self.roster.coming.values()) <= set(self.starting)
        assert set(self.roster.coming) <= set(self.roster.in_place)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
