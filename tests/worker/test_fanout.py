"""A chunk's items are cut into units that cover each place once; a process that dies charges one item."""

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.job import Body
from warren.outcome import Crashed, Done, Outcome
from warren.worker.fanout import STOPPING, Interrupted, Pace, charged, run_chunk
from warren.worker.frames import Ended, Run, TaskInfo
from warren.worker.pool import Pool
from warren.worker.process import ProcessDied

INFO = TaskInfo("m:f", "q", 3, None)
RUN = Run("id", "m:f", "q", 1, 0, "", 0.0, b"{}")
deterministic = settings(deadline=None, derandomize=True, database=None)


@deterministic
@given(seconds=st.lists(st.floats(0, 10), min_size=1), left=st.integers(1, 10_000), processes=st.integers(1, 64))
def test_a_unit_is_some_20_ms_of_items_and_leaves_some_for_every_process(
    seconds: list[float], left: int, processes: int
) -> None:
    pace = Pace()
    assert pace.unit(left, processes) == 1
    for one in seconds:
        pace.took(one)
    unit = pace.unit(left, processes)
    assert 1 <= unit <= max(1, -(-left // processes))
    assert unit == 1 or unit * sum(seconds) / len(seconds) <= 0.0201


class FakePool:
    """Runs units in the test; some items kill their process, the first `faults` times they are run."""

    def __init__(self, size: int, deadly: frozenset[bytes] = frozenset(), killed_for: str = "") -> None:
        self.size = size
        self.ran: list[bytes] = []
        self._deadly = deadly
        self._killed_for = killed_for

    async def run(
        self, run: Run, on_ended: Callable[[Ended], None], *, on_start: Callable[[], None], kill_after: float | None
    ) -> None:
        on_start()
        for item, place in zip(run.items or (), run.places or (), strict=True):
            await asyncio.sleep(0)
            self.ran.append(item)
            if item in self._deadly:
                raise ProcessDied(Crashed(9, None, 0, self._killed_for))
            on_ended(Ended(Done(item), 0.0, place))


def body_of(items: list[int], indexes: list[int] | None = None) -> Body:
    return Body("m:f", [], {}, [msgspec.Raw(b"%d" % item) for item in items], indexes)


def run(pool: FakePool, body: Body) -> dict[int, Outcome]:
    return asyncio.run(run_chunk(cast("Pool", pool), RUN, body, INFO, lambda: None))


@deterministic
@given(
    items=st.lists(st.integers(0, 50), max_size=60), size=st.integers(1, 8), deadly=st.frozensets(st.integers(0, 50))
)
def test_every_item_runs_once_and_has_its_own_outcome(items: list[int], size: int, deadly: frozenset[int]) -> None:
    pool = FakePool(size, frozenset(b"%d" % item for item in deadly))
    outcomes = run(pool, body_of(items))
    assert sorted(pool.ran) == sorted(b"%d" % item for item in items)
    assert outcomes == {
        place: Crashed(9, None) if item in deadly else Done(b"%d" % item) for place, item in enumerate(items)
    }


def test_outcomes_are_by_the_places_of_a_smaller_chunk() -> None:
    assert run(FakePool(2), body_of([5, 6], [40, 7])) == {40: Done(b"5"), 7: Done(b"6")}


def test_a_chunk_without_items_comes_to_nothing() -> None:
    assert run(FakePool(2), body_of([])) == {}


def test_a_process_taken_away_by_the_stopping_worker_charges_nobody() -> None:
    with pytest.raises(Interrupted):
        run(FakePool(1, frozenset({b"1"}), STOPPING), body_of([1]))
    with pytest.raises(Interrupted):
        charged(Crashed(9, None, 0, STOPPING))
    assert charged(Crashed(9, None, 0, "over its limit")) == Crashed(9, None, 0, "over its limit")
