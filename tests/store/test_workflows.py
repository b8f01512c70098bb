"""Workflows in the store, on SQLite and PostgreSQL."""

import msgspec
import pytest

from warren.store import workflows as store
from warren.store.database import Database
from warren.store.workflows import Output
from warren.workflow.graph import Definition, Graph, Node
from warren.workflow.machine import Enqueue, Finish, Progress, begin
from warren.workflow.states import WorkflowState


def definition(number: int, name: str = "etl") -> Definition:
    return Definition(f"w{number}", name, {"a": Node("t:a")}, created_at=1000.0 + number)


def progress_of(one: Definition, state: WorkflowState, ended_at: float | None = None) -> Progress:
    return msgspec.structs.replace(begin(Graph.of(one), 1.0).progress, state=state, ended_at=ended_at)


@pytest.fixture
def ten(database: Database) -> Database:
    """Ten workflows, every second of which is done."""
    with database.write() as connection:
        for number in range(10):
            one = definition(number, f"Nightly {number % 3}%")
            done = number % 2 == 1
            state = WorkflowState.DONE if done else WorkflowState.RUNNING
            assert store.add(connection, one, progress_of(one, state, 2000.0 + number if done else None), 5.0)
    return database


def test_a_workflow_that_is_there_is_not_added_again(ten: Database) -> None:
    with ten.write() as connection:
        other = msgspec.structs.replace(definition(3), name="another")
        assert not store.add(connection, other, progress_of(other, WorkflowState.FAILED), 9.0)
        found = store.find(connection, "w3")
    assert found is not None
    assert (found.definition.name, found.progress.state, found.changed_at) == ("Nightly 0%", WorkflowState.DONE, 5.0)


def test_what_is_saved_is_found(ten: Database) -> None:
    failed = msgspec.structs.replace(progress_of(definition(2), WorkflowState.FAILED, 3.0), why="a NUL: \0")
    with ten.write() as connection:
        assert store.lock(connection, ["w2", "unknown"]).keys() == {"w2"}
        store.save(connection, "w2", failed, 7.0)
        found = store.find(connection, "w2")
        assert found is not None
        assert (found.progress, found.changed_at) == (failed, 7.0)
        assert store.find(connection, "unknown") is None


def test_pages_of_a_list_make_the_whole_list(ten: Database) -> None:
    with ten.read() as connection:
        found = store.listed(connection, limit=4)
        while page := store.listed(connection, before=found[-1], limit=4):
            found += page
        assert [one.id for one in found] == [f"w{number}" for number in range(9, -1, -1)]
        assert [one.id for one in store.listed(connection, states=[WorkflowState.DONE], limit=2)] == ["w9", "w7"]
        assert [one.id for one in store.listed(connection, name="NIGHTLY 0%")] == ["w9", "w6", "w3", "w0"]
        assert store.listed(connection, name="0_") == []
        assert store.starting_with(connection, "w") == [f"w{number}" for number in range(10)]
        assert store.starting_with(connection, "%") == []
        assert store.counts(connection)[WorkflowState.DONE] == 5
        assert store.running(connection, "w4", 10) == ["w6", "w8"]


def test_of_what_a_run_returned_the_first_word_holds(database: Database) -> None:
    def output(run: int, value: bytes) -> Output:
        return Output("w1", "a", run, msgspec.Raw(value))

    with database.write() as connection:
        store.keep(connection, [output(1, b"1"), output(2, b'"two"')])
        store.keep(connection, [output(2, b"3")])
        found = store.kept(connection, "w1", {"a": 2, "b": 1})
    assert {node: bytes(value) for node, value in found.items()} == {"a": b'"two"'}


def test_what_is_noted_is_to_do_in_its_order_until_it_is_struck_out(database: Database) -> None:
    with database.write() as connection:
        entries = store.note(connection, "w1", [Enqueue("a", 1), Enqueue("b", 2), Finish()], 4.0)
    with database.write() as connection:
        assert store.to_do(connection) == entries
        assert store.to_do(connection, after=entries[0].id, limit=1) == entries[1:2]
        store.done(connection, [entries[0].id, entries[2].id])
        assert [entry.action for entry in store.to_do(connection)] == [Enqueue("b", 2)]
        (later,) = store.note(connection, "w1", [Finish()], 5.0)
        assert later.id > entries[-1].id, "no id is given twice, as what is cancelled is known by it"


def test_only_what_has_ended_is_forgotten_the_oldest_first_with_all_that_belongs_to_it(ten: Database) -> None:
    with ten.write() as connection:
        store.keep(connection, [Output("w1", "a", 1, msgspec.Raw(b"1")), Output("w9", "a", 1, msgspec.Raw(b"9"))])
        assert store.forget(connection, ended_before=2004.0, most=None) == 2
        assert store.kept(connection, "w1", {"a": 1}) == {}
        assert store.kept(connection, "w9", {"a": 1}).keys() == {"a"}
        assert store.forget(connection, ended_before=None, most=1) == 2
        assert store.forget(connection, ended_before=None, most=None) == 0
        assert [one.id for one in store.listed(connection)] == ["w9", "w8", "w6", "w4", "w2", "w0"]
