"""Every question gets the answer that looking at each job would give, in pages from the newest on, on SQLite and PostgreSQL."""

import itertools
from collections.abc import Iterator

import msgspec
import pytest
from tests.store.postgres import PostgresServer
from tests.store.telling import fold

from warren.errors import UsageError
from warren.result import ItemFailure
from warren.states import FINAL, JobState
from warren.store import asking, finding
from warren.store.asking import Cursor, Dropped, Filter, Whole, count, one, page
from warren.store.database import Database, folded
from warren.store.facts import AttemptEnded, Ended, Enqueued, Fact, ItemsEnded, Started
from warren.store.gathering import gather
from warren.store.history import error_text, record
from warren.store.merging import Record
from warren.store.searching import cover, index_texts
from warren.store.upkeep import retain, ripen

NOW = 2_000.0
JOBS = 180
STATES = [*JobState, JobState.DONE, JobState.DEAD]
TEXTS = ["file-1", "Straße ΟΔΟΣΑ", 'a"b', "100%", "under_score", "back\\slash"]


def facts_of(number: int) -> list[Fact]:
    state, task = STATES[number % len(STATES)], f"m:t{number % 4}"
    place = f"job-{number}", task, f"q{number % 3}", 0
    waits = {JobState.DELAYED: NOW + 500, JobState.QUEUED: NOW - 100 if number % 2 else 0.0}.get(state, 0.0)
    payload = f'{{"args":["file-{number % 50}","{TEXTS[number % 6]}"],"kwargs":{{}}}}'
    at = 1_000.0 + number // 2
    told: list[Fact] = [Enqueued(*place, 1, at, waits or at, payload, workflow="wf" if number % 5 == 0 else "")]
    if state == JobState.RUNNING:
        told.append(Started(*place, 1, at, "w"))
    if state in FINAL:
        error = f"Refused by host-{number % 3}" if state != JobState.DONE else ""
        told.append(Ended(*place, 1, at + 1, state, error=error, reason="failed" if error else ""))
    return told


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """180 jobs, of which the texts of half are indexed, some of them before they ended."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'warren.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(server.make(request.getfixturevalue("migrated")))
    database = Database(url)
    database.migrate()
    told = [facts_of(number) for number in range(JOBS)]
    with database.write() as connection:
        record(connection, gather([each[0] for each in told]), NOW - 200)
        index_texts(connection, NOW, limit=45)
        record(connection, gather([fact for each in told for fact in each]), NOW - 200)
        index_texts(connection, NOW, limit=45)
    yield database
    database.close()


@pytest.fixture(params=["read", "looked up"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are found in both ways, whatever there is of them."""
    monkeypatch.setattr(finding, "NEAR", 50)
    monkeypatch.setattr(finding, "FEW", 0 if request.param == "looked up" else 10_000)


RECORDS = {number: fold(facts_of(number)) for number in range(JOBS)}


def fits(wanted: Filter, found: Record) -> bool:
    payload = found.first.payload if found.first else ""
    texts = folded(payload), folded(error_text(found))
    return (
        (not wanted.states or found.state(NOW) in wanted.states)
        and wanted.task in ("", found.task, "m:*")
        and wanted.queue in ("", found.queue)
        and (not wanted.text or any(folded(wanted.text) in text for text in texts))
        and (wanted.since is None or found.enqueued_at >= wanted.since)
        and (wanted.until is None or found.enqueued_at < wanted.until)
        and (not wanted.workflow or (found.first is not None and found.first.workflow == wanted.workflow))
    )


STATE_SETS = [frozenset[JobState](), *(frozenset({state}) for state in JobState), frozenset({"queued", "dead"})]
OTHERS = [
    {},
    {"task": "m:t1"},
    {"task": "m:*", "queue": "q2"},
    {"task": "none"},
    {"since": 1_050.0, "until": 1_070.5},
    {"since": 9e9},
    {"workflow": "wf"},
    {"workflow": "none"},
    {"workflow": "wf", "task": "m:t1", "until": 1_100.0},
]


def everything(database: Database, wanted: Filter, limit: int = 29) -> list[str]:
    """Return all jobs of a filter, page by page."""
    found: list[str] = []
    after: Cursor | None = None
    for _ in range(JOBS):
        with database.read() as connection:
            part = page(connection, wanted, NOW, limit=limit, after=after)
        found += [job.id for job in part.jobs]
        if part.next is None:
            return found
        after = Cursor.read(str(part.next))
    raise AssertionError("the pages do not end")


def expected(wanted: Filter) -> list[str]:
    fitting = [number for number, found in RECORDS.items() if fits(wanted, found)]
    return [f"job-{number}" for number in sorted(fitting, reverse=True)]


@pytest.mark.parametrize("states", STATE_SETS, ids=lambda states: "+".join(sorted(states)) or "any")
@pytest.mark.parametrize("near", [0, 2_000], ids=["by steps", "at a glance"])
def test_filters_and_their_combinations_find_what_they_say(
    filled: Database, states: frozenset[JobState], near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MANY", 0)
    monkeypatch.setattr(asking, "GLANCE", near)
    for other in OTHERS:
        wanted = Filter(states=states, **other)  # type: ignore[arg-type]
        assert everything(filled, wanted) == expected(wanted), f"for {wanted}"


@pytest.mark.parametrize(
    "text", [*TEXTS, "FILE-1", "straße οδο", "ΟΔΟΣ", "SSE", "refused", "no such text", "host-2", '","']
)
def test_texts_are_found_in_arguments_and_errors(filled: Database, way: None, text: str) -> None:
    for states, other in itertools.product(STATE_SETS[::4], OTHERS[::3]):
        wanted = Filter(text=text, states=states, **other)  # type: ignore[arg-type]
        assert everything(filled, wanted, 40) == expected(wanted), f"for {wanted}"


def test_what_is_looked_up_of_a_text_is_all_of_it_or_enough() -> None:
    assert cover("abc") == ["abc"]
    assert cover("abcd") == ["abc", "bcd"]
    assert cover("abcdefgh") == ["abc", "def", "fgh"]
    long = "".join(map(str, range(500)))
    assert 12 < len(cover(long)) <= 24
    assert all(each in long for each in cover(long))


def test_jobs_are_counted_by_where_they_are_now(filled: Database) -> None:
    with filled.read() as connection:
        found = count(connection, NOW)
    assert found == {state: sum(each.state(NOW) == state for each in RECORDS.values()) for state in JobState}


def test_a_text_is_not_found_any_more_when_it_is_not_true_any_more(database: Database, way: None) -> None:
    place = "a", "m:f", "q", 0
    dead: list[Fact] = [
        Enqueued(*place, 1, 10.0, 10.0, '{"args":["cat.png"]}'),
        Ended(*place, 1, 11.0, JobState.DEAD, error="refused"),
    ]
    replayed = Enqueued("a", "m:f", "q", 1, 1, 10.0, 20.0, '{"args":["cat.png"]}')
    done = Ended("a", "m:f", "q", 1, 1, 21.0, JobState.DONE)
    with database.write() as connection:
        steps: list[list[Fact]] = [dead, [replayed], [done]]
        for facts in steps:
            record(connection, gather(facts), NOW)
            index_texts(connection, NOW)
            found = [len(page(connection, Filter(text=text), NOW).jobs) for text in ("refused", "cat.png")]
            assert found == [int(facts is dead), 1]


def test_a_short_text_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 3"):
        Filter(text="ab")


@pytest.mark.parametrize("said", ["", "x", "1~", "~2"])
def test_what_is_no_cursor_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="next"):
        Cursor.read(said)


def test_all_is_told_of_one_job(database: Database) -> None:
    place = "a", "m:f", "q", 0
    told: list[Fact] = [
        Enqueued(*place, 1, 10.0, 10.0, "{}", 3),
        ItemsEnded(*place, 1, 12.0, {0: msgspec.Raw(b"1")}, {1: ItemFailure("no"), 2: ItemFailure("never")}),
        AttemptEnded(*place, 1, 12.0, "w", "retry", "no", 11.0),
        Ended(*place, 2, 14.0, JobState.DONE, "w", items={1: msgspec.Raw(b"4")}),
    ]
    with database.write() as connection:
        record(connection, gather(told), NOW)
        found = one(connection, "a")
    assert isinstance(found, Whole)
    assert found.record == fold(told)
    assert [(each.attempt, each.outcome) for each in found.attempts] == [(1, "retry")]
    assert found.items == {0: msgspec.Raw(b"1"), 1: msgspec.Raw(b"4")}
    assert {place: why["error"] for place, why in found.failed.items()} == {2: "never"}


def test_unknown_is_told_from_dropped(database: Database) -> None:
    with database.write() as connection:
        record(connection, gather([Ended("a", "m:f", "q", 0, 1, 14.0, JobState.DONE)]), NOW)
        retain(connection, NOW, age=100, keep=0)
        assert one(connection, "a") == Dropped(NOW)
        assert one(connection, "b") is None


def test_a_delay_that_is_over_is_queued_before_anybody_says_so(database: Database) -> None:
    told = Enqueued("a", "m:f", "q", 0, 1, 10.0, NOW + 10)
    queued, delayed = Filter(frozenset({JobState.QUEUED})), Filter(frozenset({JobState.DELAYED}))
    with database.write() as connection:
        record(connection, gather([told]), NOW)
        for now, expected_queued in ((NOW, 0), (NOW + 20, 1)):
            found = [len(page(connection, wanted, now).jobs) for wanted in (queued, delayed)]
            assert found == [expected_queued, 1 - expected_queued]
            assert count(connection, now)[JobState.QUEUED] == expected_queued
        ripen(connection, NOW + 20)
        assert len(page(connection, queued, NOW + 20).jobs) == 1
