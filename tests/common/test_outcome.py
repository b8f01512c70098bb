"""Outcomes are values that can be told and sent."""

import signal

import msgspec
import pytest

from warren.outcome import (
    Cancelled,
    Crashed,
    Done,
    Expired,
    Failed,
    Failure,
    Outcome,
    Rejected,
    Retry,
    label,
    signal_name,
)

FAILURE = Failure("ValueError", "no", "Traceback ...")
OUTCOMES: list[tuple[Outcome, str]] = [
    (Done(b"1"), "done"),
    (Retry(2.5, FAILURE, counted=False), "retry"),
    (Failed(FAILURE, "bad_result"), "failed"),
    (Cancelled("enough"), "cancelled"),
    (Expired(), "expired"),
    (Rejected("unknown_task", "m:f"), "rejected"),
    (Crashed(9, None, 1 << 20, "over its limit"), "crashed"),
]


@pytest.mark.parametrize(("outcome", "name"), OUTCOMES, ids=[name for _, name in OUTCOMES])
def test_an_outcome_has_a_name_and_survives_the_way_between_processes(outcome: Outcome, name: str) -> None:
    assert label(outcome) == name
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(outcome), type=Outcome) == outcome


@pytest.mark.parametrize(("outcome", "name"), OUTCOMES, ids=[name for _, name in OUTCOMES])
def test_an_outcome_cannot_be_changed(outcome: Outcome, name: str) -> None:
    with pytest.raises(AttributeError):
        outcome.anything = 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("crash", "told"),
    [
        (Crashed(9, None), "its process was ended by SIGKILL"),
        (Crashed(None, 3), "its process was ended by exit code 3"),
        (Crashed(11, None, 300 << 20), "its process was ended by SIGSEGV, peak memory 300 MiB"),
        (Crashed(9, None, 0, "over kill_after"), "its process was ended by SIGKILL (over kill_after)"),
        (
            Crashed(9, None, 1 << 20, "", "much output", "a stack", oom=True),
            "its process was ended by SIGKILL (killed by the kernel's out-of-memory killer), peak memory 1 MiB",
        ),
        (Crashed(9, None, oom=False, killed_for="x"), "its process was ended by SIGKILL (x)"),
    ],
    ids=str,
)
def test_a_crash_tells_how(crash: Crashed, told: str) -> None:
    assert str(crash) == told


def test_a_failure_tells_its_type_when_it_has_one() -> None:
    assert str(FAILURE) == "ValueError: no"
    assert str(Failure("", "no")) == "no"


def test_signals_have_names_where_the_platform_knows_them() -> None:
    assert signal_name(signal.SIGTERM) == "SIGTERM"
    assert signal_name(200) == "signal 200"
