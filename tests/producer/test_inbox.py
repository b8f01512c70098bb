"""Results go to whoever holds a slot for them, and only to them."""

import asyncio
import gc

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.producer.hands import done, ended, job_of

from warren.producer.inbox import ChunkSlot, Inbox, Slot
from warren.result import ItemFailure
from warren.states import JobState

JOB = job_of("id")
WHY = ItemFailure("no", "ValueError")


def chunk(size: int) -> ChunkSlot:
    return ChunkSlot(JOB, size, asyncio.Event())


def test_a_slot_takes_the_first_final_result_only() -> None:
    slot = Slot(JOB)
    slot.put(ended(JOB, JobState.RUNNING))
    assert not slot.complete
    slot.put(done(JOB, 1))
    slot.put(done(JOB, 2))
    assert slot.result == done(JOB, 1)
    assert slot.changed.is_set()


def test_every_slot_of_a_job_is_told() -> None:
    inbox, slots = Inbox(), [Slot(JOB) for _ in range(3)]
    for slot in (*slots, *slots):
        inbox.expect(slot)
    inbox.put(done(JOB, 1))
    assert all(slot.complete for slot in slots)


def test_a_slot_is_told_whichever_other_is_gone() -> None:
    for gone in range(3):
        inbox, slots = Inbox(), [Slot(JOB) for _ in range(3)]
        for slot in slots:
            inbox.expect(slot)
        del slots[gone], slot
        gc.collect()
        inbox.put(done(JOB, 1))
        assert all(slot.complete for slot in slots)


def test_results_nobody_can_ask_for_are_dropped() -> None:
    inbox = Inbox()
    inbox.expect(Slot(JOB))
    inbox.put(done(JOB, 1))
    inbox.put(done(job_of("other"), 1))
    gc.collect()
    assert not inbox._peers


def test_a_chunk_that_ended_as_a_whole_fails_what_was_still_open() -> None:
    slot = chunk(3)
    slot.put(ended(JOB, JobState.RUNNING, items={1: msgspec.Raw(b"1")}, failed={}))
    slot.put(ended(JOB, JobState.EXPIRED, reason="expired"))
    assert (slot.complete, set(slot.values), set(slot.failures)) == (True, {1}, {0, 2})
    assert slot.failures[0].error == "expired"


@settings(deadline=None, derandomize=True, database=None)
@given(parts=st.lists(st.dictionaries(st.integers(0, 9), st.booleans(), max_size=10), max_size=10))
def test_the_parts_of_a_chunk_collect_in_any_order_and_also_twice(parts: list[dict[int, bool]]) -> None:
    slot, first = chunk(10), dict[int, bool]()
    for part in parts:
        items = {place: msgspec.Raw(b"1") for place, good in part.items() if good}
        failed = {place: WHY for place, good in part.items() if not good}
        slot.put(ended(JOB, JobState.RUNNING, items=items, failed=failed))
        first = part | first
    values = dict.fromkeys(range(10)) if slot.packed is not None else slot.values
    assert {**dict.fromkeys(values, True), **dict.fromkeys(slot.failures, False)} == first
    assert slot.settled == len(first)
    assert slot.complete == (len(first) == 10)
    assert slot.changed.is_set() == bool(parts)


def test_a_chunk_that_is_done_is_kept_small_in_the_order_of_its_items() -> None:
    slot = chunk(3)
    slot.put(ended(JOB, JobState.RUNNING, items={2: msgspec.Raw(b"2")}, failed={}))
    slot.put(ended(JOB, JobState.DONE, items={1: msgspec.Raw(b"null"), 0: msgspec.Raw(b'"0"')}, failed={}))
    slot.put(ended(JOB, JobState.DONE, items={1: msgspec.Raw(b"7")}, failed={1: WHY}))
    assert (slot.complete, slot.packed, slot.values, slot.failures) == (True, b'["0",null,2]', {}, {})


def test_places_that_a_chunk_does_not_have_do_not_end_it() -> None:
    slot = chunk(2)
    slot.put(ended(JOB, JobState.DONE, items={0: msgspec.Raw(b"0"), 7: msgspec.Raw(b"7")}, failed={}))
    assert (slot.complete, slot.settled) == (False, 1)
    slot.put(ended(JOB, JobState.DEAD, items={-1: msgspec.Raw(b"7")}, failed={9: WHY, 1: WHY}))
    assert (slot.complete, set(slot.values), set(slot.failures)) == (True, {0}, {1})
