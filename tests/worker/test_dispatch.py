"""Who gets what waits: only those that are there."""

import asyncio
import gc
import weakref

from tests.worker.test_roster import process

from warren.worker.dispatch import Dispatch
from warren.worker.process import PoolProcess


def ready(slot: int) -> PoolProcess:
    one = process(slot)
    one.ready = True
    return one


def test_a_process_that_was_replaced_while_it_was_free_is_forgotten() -> None:
    async def whole() -> None:
        processes: dict[int, PoolProcess] = {}
        dispatch = Dispatch(processes, lambda: 1)
        replaced: list[weakref.ref[PoolProcess]] = []
        for number in range(40):
            slot = number % 2
            if slot in processes:
                processes[slot].leaving = True
                replaced.append(weakref.ref(processes[slot]))
            processes[slot] = ready(slot)
            dispatch.rested(processes[slot])
        gc.collect()
        assert sum(one() is not None for one in replaced) <= len(processes)

    asyncio.run(whole())


def test_of_those_that_are_free_the_one_that_was_busy_last_is_next_whoever_is_forgotten() -> None:
    async def whole() -> None:
        processes = {slot: ready(slot) for slot in range(4)}
        dispatch = Dispatch(processes, lambda: 1)
        for slot in (0, 1, 2, 3, 1, 0, 2):
            dispatch.rested(processes[slot])
        processes[0].leaving = True
        assert [dispatch._next_free() for _ in range(4)] == [processes[2], processes[1], processes[3], None]

    asyncio.run(whole())
