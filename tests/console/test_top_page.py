"""The page of `warren top`, for terminals of any size."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.console.fleets import NOW, a_job, a_status, busy

from warren.console.fleet import Member
from warren.console.queue_survey import Flow, QueueLine, Survey
from warren.console.top_page import View, document, page
from warren.status import WorkerState

QUEUES = Survey(
    (QueueLine("bulk", 12_000, 2, 3, 0), QueueLine("default", 0, 0, 0, 0), QueueLine("lonely", 5, 0, 0, 0)),
    delayed=7,
    dead=3,
    stuck=0,
    flows={"bulk": Flow(10.0, 123.4)},
)
ALPHA = Member(
    a_status("alpha", done=10, slots=(busy(0, a_job(1, since=NOW - 65, done=3, total=10)), busy(1, a_job(2)))),
    1.0,
    2.5,
)
BETA = Member(a_status("beta", at=NOW - 20), 20.0, None)


def a_view(**changes: Any) -> View:
    told: dict[str, Any] = {"namespace": "ns", "broker": "amqp://h", "now": NOW}
    return View(**{**told, "members": (ALPHA, BETA), "queues": QUEUES, **changes})


def text(view: View, width: int = 200, height: int | None = None) -> list[str]:
    return [line.text for line in page(view, width, height)]


def test_the_whole_page() -> None:
    lines = text(a_view())
    assert lines[0].split() == ["warren", "·", "namespace", "ns", "·", "amqp://h", "22:13:20", "UTC"]
    assert lines[1:] == [
        "1 worker and 1 silent · 2 of 2 processes busy · 2 jobs running · 2.5 ended/s",
        "",
        "queue     ready  unacked  consumers  in/s  acked/s",
        "bulk     12,000        2          3  10.0      123",
        "lonely        5        0          0     -        -",
        "default       0        0          0     -        -",
        "delayed 7 · dead letters 3",
        "",
        "worker  state           busy  jobs/s  done  retried  failed  memory     up  queues",
        "beta    silent for 20s   0/2       -     0        0       0  40 MiB    40s  default",
        "alpha   running          2/2     2.5    10        0       0  80 MiB  1m01s  default",
        "",
        "  for  task  progress  job                                   worker/slot  attempt  pid  queue",
        "1m05s  m:f       3/10  00000000-0000-7000-8000-000000000001  alpha/0            1  200  default",
        "  10s  m:f             00000000-0000-7000-8000-000000000002  alpha/1            1  201  default",
    ]


def test_what_needs_a_look_is_red() -> None:
    red = {line.text.split()[0] for line in page(a_view(), 200) if line.style == "red"}
    assert red == {"1", "beta", "lonely"}


def test_what_is_not_there_is_said() -> None:
    lines = text(a_view(members=(), queues=None, notes=("the broker is away",)))
    assert "queues: asking the broker" in lines
    assert "no worker said anything in the last minute" in lines
    assert "no job is running" in lines
    assert lines[-1] == "the broker is away"
    assert "no queues" in text(a_view(queues=Survey(())))


def test_without_the_management_api_what_amqp_does_not_tell_is_left_open() -> None:
    lines = text(a_view(queues=Survey((QueueLine("default", 4, None, 2, None),), dead=1)))
    assert "default      4        -          2     -        -" in lines
    assert "dead letters 1" in lines


def many(count: int) -> View:
    slots = tuple(busy(n, a_job(n, since=NOW - n)) for n in range(count))
    queues = Survey(tuple(QueueLine(f"q{n:03}", n, 0, 1, 0) for n in range(count)), 0, 0, 0)
    members = tuple(Member(a_status(f"w{n:03}", slots=slots if n == 0 else ()), 1.0, 1.0) for n in range(count))
    return a_view(members=members, queues=queues)


def test_what_does_not_fit_into_the_terminal_is_counted() -> None:
    lines = text(many(40), 80, 24)
    assert len(lines) <= 24
    for noun in ("queue", "worker", "job"):
        (cut_off,) = [line for line in lines if line.endswith(f"more {noun}s")]
        shown = [line for line in lines if line.startswith({"queue": "q0", "worker": "w0"}.get(noun, "39s"))]
        assert int(cut_off.split()[1]) < 40, shown
    assert lines[4].startswith("q039"), "the queue with the most to do comes first"
    assert any(line.startswith("39s") for line in lines), "the job that runs longest comes first"
    assert lines[-1].startswith("a wider terminal shows more: ")


def test_jobs_that_a_worker_does_not_list_are_counted_too() -> None:
    member = Member(a_status(slots=(busy(0, a_job(1), running=351),)), 1.0, 1.0)
    lines = text(a_view(members=(member,)))
    assert "… 350 more jobs" in lines
    assert "351 jobs running" in lines[1]


def test_a_terminal_with_no_line_to_spare_tells_at_least_how_much_there_is() -> None:
    lines = text(many(40), 80, 12)
    assert len(lines) <= 12
    assert "… 40 queues" in lines or any(line.endswith("more queues") for line in lines)


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 30))
def test_no_page_is_larger_than_its_terminal(width: int, height: int, count: int) -> None:
    lines = page(many(count), width, height, "q leaves")
    assert len(lines) <= height
    assert all(cell_len(line.text) <= width for line in lines)


def test_a_page_of_24_lines_of_80_has_every_part_of_a_small_fleet_whole() -> None:
    lines = text(a_view(), 80, 24)
    assert not [line for line in lines if "more queue" in line or "more worker" in line or "more job" in line]
    assert any("00000000-0000-7000-8000-000000000001" in line for line in lines), "an id that is cut is of no use"


@pytest.mark.parametrize("state", [WorkerState.STOPPED, WorkerState.RUNNING])
def test_jobs_of_a_worker_that_is_gone_do_not_run(state: WorkerState) -> None:
    age = 30.0
    member = Member(a_status(at=NOW - age, state=state, slots=(busy(0, a_job(1)),)), age, 1.0)
    assert "no job is running" in text(a_view(members=(member,)))


def test_the_document_has_all_of_it() -> None:
    told = document(a_view())
    assert told["queues"][0] == {
        "queue": "bulk",
        "ready": 12_000,
        "unacked": 2,
        "consumers": 3,
        "stuck": 0,
        "paused": None,
        "in_rate": 10.0,
        "ack_rate": 123.4,
    }
    assert [worker["name"] for worker in told["workers"]] == ["alpha", "beta"]
    assert told["workers"][0]["slots"][0]["jobs"][0]["since"] == "2023-11-14T22:12:15.000Z"
    assert (told["delayed"], told["dead"], told["stuck"], told["notes"]) == (7, 3, 0, [])
    assert document(a_view(queues=None))["queues"] == []
