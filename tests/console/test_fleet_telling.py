"""Workers as documents and lines."""

from tests.console.fleets import NOW, a_job, a_status, busy

from warren.console import fleet_telling
from warren.console.fleet import Member
from warren.status import ProcessStatus, WorkerState

ENDED = {"done": 1000, "retry": 3, "failed": 1, "crashed": 2, "rejected": 1, "cancelled": 5}
SLOTS = (busy(0, a_job(1, since=NOW - 65, done=3, total=10)), ProcessStatus(1, 201, "free", rss=20 << 20))
MEMBER = Member(a_status(ended=ENDED, slots=SLOTS, queues=("a", "b")), 2.0, 2.5)


def test_a_row_counts_what_failed_for_good_and_what_crashed_together() -> None:
    assert dict(zip(fleet_telling.HEADINGS, fleet_telling.row(MEMBER), strict=True)) == {
        "worker": "alpha",
        "state": "running",
        "heard": "2s ago",
        "queues": "a b",
        "busy": "1/2",
        "jobs/s": "2.5",
        "done": "1,000",
        "retried": "3",
        "failed": "4",
        "memory": "80 MiB",
        "up": "1m02s",
    }


def test_a_silent_worker_is_told_to_be_and_its_jobs_do_not_go_on() -> None:
    silent = Member(a_status(slots=SLOTS), 14.2, None)
    assert fleet_telling.state(silent) == "silent for 14s"
    assert fleet_telling.slot_rows(silent)[0][6] == "1m05s"
    assert fleet_telling.slot_rows(MEMBER)[0][6] == "1m07s"


def test_every_process_has_a_line_and_every_further_job_in_it_another() -> None:
    member = Member(a_status(slots=(busy(0, a_job(1), a_job(2), running=9), SLOTS[1])), 0.0, None)
    rows = [[cell for cell in row if cell] for row in fleet_telling.slot_rows(member)]
    assert rows == [
        ["0", "200", "busy", "20 MiB", a_job(1).id, "1", "10s", "default", "m:f"],
        [a_job(2).id, "1", "10s", "default", "m:f"],
        ["… 7 jobs more"],
        ["1", "201", "free", "20 MiB"],
    ]


def test_a_document_has_moments_as_text_and_everything_even_where_it_is_nothing() -> None:
    told = fleet_telling.document(Member(a_status(), 1.23456, None))
    assert told["at"] == "2023-11-14T22:13:20.000Z"
    assert (told["age"], told["silent"], told["rate"]) == (1.235, False, None)
    assert (told["slots"], told["ended"], told["reconnects"], told["running"]) == ([], {}, 0, 0)
    job = fleet_telling.document(MEMBER)["slots"][0]["jobs"][0]
    assert (job["since"], job["done"], job["total"]) == ("2023-11-14T22:12:15.000Z", 3, 10)


def test_the_line_below_the_list_says_what_to_do_next() -> None:
    assert "warren worker MODULE" in fleet_telling.summary([], "ns", 60)
    assert fleet_telling.summary([MEMBER], "ns", 60) == "1 worker; look at one with `warren workers show NAME`"
    silent = Member(a_status("b"), 20.0, None)
    stopped = Member(a_status("c", state=WorkerState.STOPPED), 20.0, None)
    text = fleet_telling.summary([MEMBER, silent, stopped], "ns", 60)
    assert text.startswith("3 workers;")
    assert text.endswith("one is silent: it crashed, or cannot reach the broker")
