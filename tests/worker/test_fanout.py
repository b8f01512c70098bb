"""A chunk's items are cut into units that cover each place once; a process that dies charges one item."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.job import Body
from warren.outcome import Cancelled, Crashed, Done, Expired, Outcome
from warren.worker.assignment import Assignment, ProcessDied
from warren.worker.blame import CANCELLED, DOES_NOT_ANSWER, STOPPING, WIRE_LOST, is_ours
from warren.worker.chunk import member, opened
from warren.worker.fanout import Chunk, Interrupted, Pace, run_chunk
from warren.worker.frames import Ended, Part, Run, TaskInfo
from warren.worker.pool import Pool

INFO = TaskInfo("m:f", "q", 3, None)
RUN = Run("id", "m:f", "q", 1, 0, "", 0.0, b"{}")
deterministic = settings(deadline=None, derandomize=True, database=None)


@deterministic
@given(seconds=st.lists(st.floats(0, 10), min_size=1), left=st.integers(1, 10_000), processes=st.integers(1, 64))
def test_a_unit_is_some_20_ms_of_items_and_leaves_some_for_every_process(
    seconds: list[float], left: int, processes: int
) -> None:
    pace = Pace()
    share = -(-left // processes)
    assert pace.unit(left, processes) == share
    for one in seconds:
        pace.took(one, 1)
    unit = pace.unit(left, processes)
    expected = sum(seconds) / len(seconds)
    assert 1 <= unit <= left
    assert unit <= share or unit * expected <= 0.00101
    assert unit == 1 or unit * expected <= 0.0201


class FakePool:
    """Runs units in the test, a few items of each; some items kill their process."""

    def __init__(self, size: int, deadly: frozenset[int] = frozenset(), killed_for: str = "", most: int = 60) -> None:
        self.size = size
        self.ran: list[int] = []
        self._deadly = deadly
        self._killed_for = killed_for
        self._most = most
        self.last_moments: set[float] = set()

    async def run(
        self,
        run: Run,
        on_ended: Callable[[Ended], None],
        *,
        on_start: Callable[[], None],
        kill_after: float | None,
        kill_at: float,
        among: set[Assignment],
    ) -> None:
        on_start()
        self.last_moments.add(kill_at)
        assert run.unit is not None
        unit, told = run.unit, list[Ended]()
        items = dict(zip(unit.places, msgspec.json.decode(unit.items, type=list[int]), strict=True))
        for number, (place, item) in enumerate(list(items.items())[: self._most]):
            await asyncio.sleep(0)
            self.ran.append(item)
            if item in self._deadly:
                # What the journal of the dead holds was told in part, and some of it is of an earlier unit.
                old, empty = Part(unit.number - 1, number, 1), Part(unit.number, number, 0)
                for again in (*told[-1:], Ended(Done(b"?"), 0.0, old), Ended(Done(b""), 0.0, empty)):
                    on_ended(again)
                raise ProcessDied(Crashed(9, None, 0, self._killed_for))
            told.append(Ended(Done(member(place, b"%d" % item)), 0.0, Part(unit.number, number, 1)))
            on_ended(told[-1])


def test_what_was_long_ago_counts_less_and_less() -> None:
    pace = Pace()
    for _ in range(1000):
        pace.took(0.001, 1000)
    for _ in range(1000):
        pace.took(1.0, 1000)
    assert 18 <= pace.unit(10_000, 2) <= 22


def body_of(items: list[int], indexes: list[int] | None = None) -> Body:
    return Body("m:f", [], {}, [msgspec.Raw(b"%d" % item) for item in items], indexes)


def run(pool: FakePool, body: Body) -> dict[int, Outcome]:
    """Run a chunk and return each item's outcome by place; no place has two."""
    found = asyncio.run(run_chunk(cast("Pool", pool), Chunk(RUN, body, Pace()), INFO, lambda: None))
    done = [(place, Done(bytes(value))) for members in found.done for place, value in opened(members).items()]
    outcomes = dict([*done, *found.others.items()])
    assert len(outcomes) == len(done) + len(found.others)
    return outcomes


@deterministic
@given(
    items=st.lists(st.integers(0, 50), max_size=60),
    size=st.integers(1, 8),
    deadly=st.frozensets(st.integers(0, 50)),
    most=st.integers(1, 60),
)
def test_every_item_runs_once_and_has_its_own_outcome(
    items: list[int], size: int, deadly: frozenset[int], most: int
) -> None:
    pool = FakePool(size, deadly, most=most)
    outcomes = run(pool, body_of(items))
    assert sorted(pool.ran) == sorted(items)
    assert outcomes == {
        place: Crashed(9, None) if item in deadly else Done(b"%d" % item) for place, item in enumerate(items)
    }


def test_outcomes_are_by_the_places_of_a_smaller_chunk() -> None:
    assert run(FakePool(2), body_of([5, 6], [40, 7])) == {40: Done(b"5"), 7: Done(b"6")}


def test_a_chunk_without_items_comes_to_nothing() -> None:
    assert run(FakePool(2), body_of([])) == {}


def test_a_process_taken_away_by_the_stopping_worker_charges_nobody() -> None:
    with pytest.raises(Interrupted):
        run(FakePool(1, frozenset({1}), STOPPING), body_of([1]))
    assert is_ours(Crashed(9, None, 0, STOPPING))
    assert not is_ours(Crashed(9, None, 0, "over its limit"))


@pytest.mark.parametrize("why", [WIRE_LOST, DOES_NOT_ANSWER])
def test_one_process_taken_away_leaves_the_items_of_the_others_alone_and_its_own_run_again(why: str) -> None:
    class Losing(FakePool):
        async def run(self, run: Run, on_ended: Callable[[Ended], None], **more: Any) -> None:
            assert run.unit is not None
            if 7 in run.unit.places and self.lost < 2:
                self.lost += 1
                await asyncio.sleep(0.001)
                raise ProcessDied(Crashed(9, None, 0, why))
            await super().run(run, on_ended, **more)

        lost = 0

    pool = Losing(2)
    assert run(pool, body_of(list(range(20)))) == {place: Done(b"%d" % place) for place in range(20)}
    assert sorted(pool.ran) == list(range(20))


def test_an_item_whose_processes_are_taken_away_again_and_again_is_charged_at_last() -> None:
    pool = FakePool(2, frozenset({7}), WIRE_LOST)
    outcomes = run(pool, body_of(list(range(20))))
    assert outcomes.pop(7) == Crashed(9, None, 0, WIRE_LOST)
    assert all(isinstance(one, Done) for one in outcomes.values())
    assert (pool.ran.count(7), len(pool.ran)) == (4, 23)


def test_nothing_of_a_chunk_begins_after_its_last_moment() -> None:
    pool, over = FakePool(2), time.monotonic() - 1
    found = asyncio.run(run_chunk(cast("Pool", pool), Chunk(RUN, body_of([5, 6]), Pace(), over), INFO, lambda: None))
    assert (pool.ran, found.done, found.others) == ([], [], {0: Expired(), 1: Expired()})


def test_all_units_of_a_chunk_have_one_last_moment() -> None:
    pool, moment = FakePool(2), time.monotonic() + 1000
    asyncio.run(run_chunk(cast("Pool", pool), Chunk(RUN, body_of([5, 6]), Pace(), moment), INFO, lambda: None))
    assert pool.last_moments == {moment}


def test_a_unit_that_lasts_leaves_the_rest_to_processes_that_had_nothing_left_to_do() -> None:
    """Nobody waits for one process to do alone, item by item, what it was given in the beginning."""

    class Lopsided(FakePool):
        async def run(self, run: Run, *args: Any, **kwargs: Any) -> None:
            self.running.append(run)
            self.most_at_once = max(self.most_at_once, len(self.running))
            slow = run.unit is not None and run.unit.places[-1] >= 50
            self._most = 1 if slow else 100
            if slow:
                await asyncio.sleep(0.001)
            await super().run(run, *args, **kwargs)
            self.running.remove(run)

        running: list[Run]
        most_at_once = 0

    pool = Lopsided(2)
    pool.running = []
    assert len(run(pool, body_of(list(range(100))))) == 100
    assert pool.most_at_once == 2


class CancellingPool(FakePool):
    """As `FakePool`; after so many items its chunk is cancelled, and what runs dies of it."""

    def __init__(self, size: int, after: int) -> None:
        super().__init__(size)
        self.chunk: Chunk | None = None
        self.after = after
        self._dying = False

    def cancel(self, assignment: Assignment, grace: float) -> None:
        assert grace == 7.0
        self._dying = True

    async def run(self, run: Run, on_ended: Callable[[Ended], None], *, among: set[Assignment], **more: Any) -> None:
        assignment = Assignment(run, b"", cast("Any", None), alone=True)
        among.add(assignment)

        def ended(message: Ended) -> None:
            if not self._dying:
                on_ended(message)
                if len(self.ran) == self.after:
                    assert self.chunk is not None
                    self.chunk.cancel(cast("Pool", self), 7.0)
            if self._dying:
                raise ProcessDied(Crashed(9, None, 0, CANCELLED))

        try:
            await super().run(run, ended, among=among, **more)
        finally:
            among.discard(assignment)


@deterministic
@given(count=st.integers(1, 60), size=st.integers(1, 8), after=st.integers(1, 60))
def test_items_of_a_cancelled_chunk_are_done_or_cancelled_and_none_is_lost(count: int, size: int, after: int) -> None:
    pool = CancellingPool(size, after)
    chunk = pool.chunk = Chunk(RUN, body_of(list(range(count))), Pace())
    found = asyncio.run(run_chunk(cast("Pool", pool), chunk, INFO, lambda: None))
    done = {place for members in found.done for place in opened(members)}
    assert done.isdisjoint(found.others)
    assert done | set(found.others) == set(range(count))
    assert all(
        isinstance(one, Cancelled) or getattr(one, "killed_for", "") == CANCELLED for one in found.others.values()
    )
    if after <= count:
        assert len(done) >= after
    else:
        assert not found.others
