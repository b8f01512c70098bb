"""Workflows in the store: where each is, what its nodes returned, and the actions that are still to be done.

Every function works in the transaction that it is given; what belongs together is written together.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, Table, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from warren.store.tables_workflows import outbox, outputs, workflows
from warren.workflow.graph import Definition
from warren.workflow.machine import Action, Progress
from warren.workflow.states import WorkflowState

FORGOTTEN = 500
"""Workflows that are removed in one transaction."""


class Stored(msgspec.Struct, frozen=True):
    """A workflow as it is in the store."""

    definition: Definition
    progress: Progress
    changed_at: float


class Summary(msgspec.Struct, frozen=True):
    """A line of a list of workflows; times are seconds since the epoch."""

    id: str
    name: str
    state: WorkflowState
    settled: int
    total: int
    created_at: float
    changed_at: float
    ended_at: float | None
    why: str


class Output(msgspec.Struct, frozen=True):
    """What a run of a node returned; `place` is a chunk's in its map."""

    workflow_id: str
    node: str
    run: int
    value: msgspec.Raw
    place: int = 0


class Entry(msgspec.Struct, frozen=True):
    """An action that is still to be done."""

    id: int
    workflow: str
    action: Action
    noted_at: float


# --- a workflow's progress -------------------------------------------------------------------------------------------


def add(connection: Connection, definition: Definition, progress: Progress, now: float) -> bool:
    """Add a workflow; False when it is there already, and then nothing is changed."""
    values = {
        "id": definition.id,
        "name": _text(definition.name),
        "created_at": definition.created_at or now,
        "definition": _json(definition),
        **_changing(progress, now),
    }
    statement = _insert(connection, workflows).values(values).on_conflict_do_nothing().returning(workflows.c.id)
    return connection.execute(statement).first() is not None


def lock(connection: Connection, ids: Iterable[str]) -> dict[str, Progress]:
    """Return the progress of workflows, which nobody else changes until this transaction ends; unknown ones are left out."""
    # In one order: two that lock the same ones never wait for each other.
    query = select(workflows.c.id, workflows.c.progress).where(workflows.c.id.in_(sorted(set(ids))))
    rows = connection.execute(query.order_by(workflows.c.id).with_for_update())
    return {row.id: _PROGRESS.decode(row.progress) for row in rows}


def definitions(connection: Connection, ids: Iterable[str]) -> dict[str, Definition]:
    """Return the definitions of workflows; unknown ones are left out."""
    rows = connection.execute(select(workflows.c.id, workflows.c.definition).where(workflows.c.id.in_(set(ids))))
    return {row.id: _DEFINITION.decode(row.definition) for row in rows}


def save(connection: Connection, workflow: str, progress: Progress, now: float) -> None:
    """Write down where a workflow is."""
    connection.execute(update(workflows).where(workflows.c.id == workflow).values(_changing(progress, now)))


def find(connection: Connection, workflow: str) -> Stored | None:
    """Return one workflow, or None when there is none of this id."""
    query = select(workflows.c.definition, workflows.c.progress, workflows.c.changed_at)
    row = connection.execute(query.where(workflows.c.id == workflow)).first()
    return Stored(_DEFINITION.decode(row[0]), _PROGRESS.decode(row[1]), row[2]) if row is not None else None


def running(connection: Connection, after: str, limit: int) -> list[str]:
    """Return the ids of workflows that run, in their order, those after an id."""
    query = select(workflows.c.id).where(workflows.c.state == WorkflowState.RUNNING, workflows.c.id > after)
    return list(connection.scalars(query.order_by(workflows.c.id).limit(limit)))


# --- lists -----------------------------------------------------------------------------------------------------------


def listed(
    connection: Connection,
    *,
    states: Collection[WorkflowState] = (),
    name: str = "",
    before: Summary | None = None,
    limit: int = 100,
) -> list[Summary]:
    """Return workflows, the newest first.

    Args:
        connection: a transaction.
        states: only of these, or of any.
        name: only those whose name has this in it.
        before: the last of the page before this one.
        limit: how many at most.
    """
    query = _summaries()
    if states:
        query = query.where(workflows.c.state.in_(sorted(states)))
    if name:
        query = query.where(workflows.c.name.icontains(name, autoescape=True))
    if before is not None:
        at, last = before.created_at, before.id
        query = query.where(or_(workflows.c.created_at < at, and_(workflows.c.created_at == at, workflows.c.id < last)))
    query = query.order_by(workflows.c.created_at.desc(), workflows.c.id.desc()).limit(limit)
    return [_summary(row) for row in connection.execute(query)]


def starting_with(connection: Connection, prefix: str, limit: int = 10) -> list[str]:
    """Return the ids of workflows that begin so."""
    query = select(workflows.c.id).where(workflows.c.id.startswith(prefix, autoescape=True))
    return list(connection.scalars(query.order_by(workflows.c.id).limit(limit)))


def counts(connection: Connection) -> dict[WorkflowState, int]:
    """Return how many workflows there are in each state."""
    found = dict.fromkeys(WorkflowState, 0)
    rows = connection.execute(select(workflows.c.state, func.count()).group_by(workflows.c.state))
    return found | {WorkflowState(state): count for state, count in rows}


# --- what nodes returned ---------------------------------------------------------------------------------------------


def keep(connection: Connection, found: Sequence[Output]) -> None:
    """Keep what runs of nodes returned; of each the first word holds."""
    if found:
        rows = [
            {name: getattr(output, name) for name in ("workflow_id", "node", "run", "place")}
            | {"value": bytes(output.value).decode(errors="replace")}
            for output in found
        ]
        connection.execute(_insert(connection, outputs).on_conflict_do_nothing(), rows)


def kept(connection: Connection, workflow: str, runs: Mapping[str, int]) -> dict[str, msgspec.Raw]:
    """Return what nodes returned in these runs, by node; those that returned nothing are left out."""
    query = select(outputs.c.node, outputs.c.run, outputs.c.value)
    query = query.where(outputs.c.workflow_id == workflow, outputs.c.node.in_(runs), outputs.c.place == 0)
    return {node: msgspec.Raw(value.encode()) for node, run, value in connection.execute(query) if run == runs[node]}


def kept_places(connection: Connection, workflow: str, node: str, first: int, last: int) -> list[msgspec.Raw]:
    """Return what was kept of a node at the places from `first` to before `last`, in their order."""
    query = select(outputs.c.value).where(outputs.c.workflow_id == workflow, outputs.c.node == node)
    query = query.where(outputs.c.place >= first, outputs.c.place < last).order_by(outputs.c.place, outputs.c.run)
    return [msgspec.Raw(value.encode()) for value in connection.scalars(query)]


def drop(connection: Connection, workflow: str, node: str) -> None:
    """Forget what was kept of a node."""
    connection.execute(delete(outputs).where(outputs.c.workflow_id == workflow, outputs.c.node == node))


# --- what is still to be done ----------------------------------------------------------------------------------------


def note(connection: Connection, workflow: str, actions: Sequence[Action], now: float) -> list[Entry]:
    """Note actions as still to be done, in their order."""
    entries = []
    for action in actions:
        row = {"workflow_id": workflow, "action": _json(action), "noted_at": now}
        key = connection.execute(_insert(connection, outbox).values(row).returning(outbox.c.id)).scalar_one()
        entries.append(Entry(key, workflow, action, now))
    return entries


def to_do(connection: Connection, after: int = 0, limit: int = 500) -> list[Entry]:
    """Return what is still to be done, in the order in which it was noted, after an entry."""
    query = select(outbox).where(outbox.c.id > after).order_by(outbox.c.id).limit(limit)
    return [
        Entry(row.id, row.workflow_id, _ACTION.decode(row.action), row.noted_at) for row in connection.execute(query)
    ]


def done(connection: Connection, entries: Collection[int]) -> None:
    """Strike out what was done."""
    if entries:
        connection.execute(delete(outbox).where(outbox.c.id.in_(entries)))


# --- retention -------------------------------------------------------------------------------------------------------


def forget(connection: Connection, *, ended_before: float | None, most: int | None, limit: int = FORGOTTEN) -> int:
    """Remove workflows that have ended, with all that belongs to them; return how many.

    Args:
        connection: a transaction that writes.
        ended_before: those that ended before this moment, seconds since the epoch.
        most: of those that have ended, how many stay: the newest.
        limit: how many are removed for each of these at most; what is left is removed by the next call.
    """
    ids: set[str] = set()
    ended = select(workflows.c.id).where(workflows.c.ended_at.is_not(None))
    if ended_before is not None:
        ids.update(connection.scalars(ended.where(workflows.c.ended_at < ended_before).limit(limit)))
    if most is not None:
        newest_first = ended.order_by(workflows.c.created_at.desc(), workflows.c.id.desc())
        ids.update(connection.scalars(newest_first.offset(most).limit(limit)))
    if ids:
        for table, column in ((outputs, outputs.c.workflow_id), (outbox, outbox.c.workflow_id)):
            connection.execute(delete(table).where(column.in_(ids)))
        connection.execute(delete(workflows).where(workflows.c.id.in_(ids)))
    return len(ids)


def _changing(progress: Progress, now: float) -> dict[str, object]:
    return {
        "state": progress.state.value,
        "changed_at": now,
        "ended_at": progress.ended_at,
        "settled": progress.settled,
        "total": len(progress.nodes),
        "why": _text(progress.why),
        "progress": _json(progress),
    }


def _summaries() -> Select[Any]:
    return select(*(workflows.c[name] for name in Summary.__struct_fields__))


def _summary(row: Row[Any]) -> Summary:
    told = dict(zip(Summary.__struct_fields__, row, strict=True))
    return Summary(**told | {"state": WorkflowState(told["state"])})


def _insert(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """An insert that knows `on_conflict_do_nothing`, which both databases have and SQLAlchemy tells apart."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _text(text: str) -> str:
    """PostgreSQL keeps no NUL in a text."""
    return text.replace("\0", "")


_DEFINITION = msgspec.json.Decoder(Definition)
_PROGRESS = msgspec.json.Decoder(Progress)
_ACTION: msgspec.json.Decoder[Action] = msgspec.json.Decoder(Action)
