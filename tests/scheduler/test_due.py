"""What is due is decided once for each due time, whatever the clock does and however long nobody looked."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.schedule import Cron, Interval, Misfire, Once, Rule, Spec
from warren.scheduler.due import MOST_AT_ONCE, Decision, decide, jitter
from warren.scheduler.triggers import latest_due, next_due, upcoming

BEGIN = 1_790_000_000.0
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe")
RULES: st.SearchStrategy[Rule] = st.one_of(
    st.builds(Interval, st.sampled_from([1.0, 7.0, 60.0, 100.0, 3600.0])),
    st.builds(Cron, st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 9 13 * 5"]), st.sampled_from(ZONES)),
    st.builds(Once, st.integers(0, 10**6).map(lambda seconds: BEGIN + seconds)),
)
SPECS = st.builds(
    Spec,
    rule=RULES,
    misfire=st.sampled_from(Misfire),
    grace=st.sampled_from([0.0, 10.0, 3600.0]),
    jitter=st.sampled_from([0.0, 3.0, 90.0]),
    start=st.none() | st.integers(0, 10**5).map(lambda seconds: BEGIN + seconds),
    end=st.none() | st.integers(10**5, 10**6).map(lambda seconds: BEGIN + seconds),
)
deterministic = settings(deadline=None, derandomize=True, database=None, max_examples=60)
LOOKS = st.lists(st.floats(-3600, 100_000), min_size=1, max_size=5)
"""How much later than the last time somebody looks; the clock may have been set back meanwhile."""


def watched(spec: Spec, looks: list[float]) -> list[tuple[float, Decision]]:
    """Look at a schedule several times; return the clock and the decision of each."""
    last, now, found = BEGIN, BEGIN, []
    for step in looks:
        now += step
        decision = decide("it", spec, last, now)
        assert decision.last_due >= last, "it never goes backwards"
        last = decision.last_due
        found.append((now, decision))
    return found


@deterministic
@given(SPECS, LOOKS)
def test_no_due_time_fires_twice_nor_before_its_time(spec: Spec, looks: list[float]) -> None:
    fired: list[float] = []
    for now, decision in watched(spec, looks):
        assert all(due + jitter("it", spec, due) <= now for due in decision.fires)
        fired += decision.fires
    assert fired == sorted(set(fired))


@deterministic
@given(SPECS, LOOKS)
def test_everything_that_fires_is_due_by_the_rule(spec: Spec, looks: list[float]) -> None:
    for _, decision in watched(spec, looks):
        assert all(next_due(spec, due - 0.001) == due for due in (*decision.fires[:5], *decision.fires[-5:]))
        assert decision.next_due == next_due(spec, decision.last_due)


@deterministic
@given(SPECS, st.floats(0, 50_000), st.floats(0, 50_000))
def test_two_that_look_at_the_same_row_decide_the_same(spec: Spec, one: float, more: float) -> None:
    first, second = decide("it", spec, BEGIN, BEGIN + one), decide("it", spec, BEGIN, BEGIN + one + more)
    if spec.misfire is Misfire.RUN_ALL:
        assert first.fires == second.fires[: len(first.fires)]


@deterministic
@given(RULES, st.floats(0, 5000), st.sampled_from([0.0, 30.0]))
def test_run_all_loses_nothing(rule: Rule, asleep: float, most: float) -> None:
    spec = Spec(rule, Misfire.RUN_ALL, jitter=most)
    fired, last, now = list[float](), BEGIN, BEGIN + asleep
    while (decision := decide("it", spec, last, now)).fires:
        fired, last = fired + list(decision.fires), decision.last_due
    due = []
    for each in upcoming(spec, BEGIN):
        if each + jitter("it", spec, each) > now:
            break
        due.append(each)
    assert fired == due


@deterministic
@given(RULES, st.floats(4000, 1_000_000))
def test_run_once_makes_up_for_everything_that_was_missed_by_one(rule: Rule, asleep: float) -> None:
    spec = Spec(rule, Misfire.RUN_ONCE, grace=0.0)
    decision = decide("it", spec, BEGIN, BEGIN + asleep)
    latest = latest_due(spec, BEGIN, BEGIN + asleep)
    assert decision.fires == (() if latest is None else (latest,))


@deterministic
@given(RULES, st.floats(0, 1_000_000))
def test_skip_fires_only_what_is_in_time(rule: Rule, asleep: float) -> None:
    spec = Spec(rule, Misfire.SKIP, grace=20.0)
    now = BEGIN + asleep
    assert all(now - due <= 20.0 for due in decide("it", spec, BEGIN, now).fires)


@deterministic
@given(RULES, st.floats(0, 1_000_000), st.floats(0, 100_000))
def test_the_latest_due_time_is_the_last_before_the_next(rule: Rule, begin: float, span: float) -> None:
    spec, after, until = Spec(rule), BEGIN + begin, BEGIN + begin + span
    found = latest_due(spec, after, until)
    if found is None:
        assert (next_due(spec, after) or math.inf) > until
    else:
        assert after < found <= until
        assert (next_due(spec, found) or math.inf) > until


@deterministic
@given(st.sampled_from([1.0, 60.0, 3600.0]), st.floats(0.1, 100))
def test_jitter_is_the_same_whoever_asks_and_within_its_bounds(seconds: float, most: float) -> None:
    spec = Spec(Interval(seconds), jitter=most)
    later = {jitter("it", spec, BEGIN + number) for number in range(100)}
    assert later == {jitter("it", spec, BEGIN + number) for number in range(100)}
    assert all(0 <= each < most for each in later)
    assert len(later) == 100
    assert jitter("it", spec, BEGIN) != jitter("other", spec, BEGIN)


@deterministic
@given(st.integers(500_000, 50_000_000).map(lambda half: 2 * half + 1), st.integers(0, 500))
def test_an_interval_of_no_whole_milliseconds_goes_on_for_ever(micros: int, later: int) -> None:
    seconds, number = micros / 10**6, int(BEGIN * 1000) // micros * 1000 + 500 + 1000 * later
    spec, due = Spec(Interval(seconds)), (number - 2) * seconds  # the next but one is at half a millisecond
    for _ in range(4):
        following = next_due(spec, due)
        assert following is not None
        assert following - due == pytest.approx(seconds, abs=0.0021)
        due = following


def test_a_long_sleep_under_run_all_comes_in_parts() -> None:
    spec = Spec(Interval(1), Misfire.RUN_ALL)
    decision = decide("it", spec, BEGIN, BEGIN + 7 * 86_400)
    assert len(decision.fires) == MOST_AT_ONCE
    assert decision.last_due == BEGIN + MOST_AT_ONCE
    assert decision.wake_at == decision.last_due + 1


def test_a_moment_that_is_over_when_the_schedule_is_made_does_not_come() -> None:
    assert next_due(Spec(Once(BEGIN - 1)), BEGIN) is None


@pytest.mark.parametrize("rule", [Cron("0 0 30 2 *"), Once(BEGIN - 9)])
def test_what_never_comes_has_no_next(rule: Rule) -> None:
    assert decide("it", Spec(rule), BEGIN, BEGIN + 9) == Decision((), BEGIN, 0, 0, None, None)


def test_start_and_end_are_due_times_themselves() -> None:
    spec = Spec(Interval(10), start=BEGIN + 5, end=BEGIN + 25)
    assert list(upcoming(spec, BEGIN)) == [BEGIN + 5, BEGIN + 15, BEGIN + 25]
