"""Applying what was heard of workflows to the store, and reading from it what is to be done: in the store's thread.

Theory of operation. One transaction takes in a batch: it locks the workflows of which something was heard, has the machine
(`warren.workflow.machine`) say what follows, and writes down where they are together with the actions to be done, the outbox.
Only then are these done, and struck out; so whoever leads next finds in the outbox what may not have been done, and does it
again. That is harmless: jobs have the same ids, and results are taken once. What nodes returned is kept where another node,
or the workflow's result, takes it, and put in where a job is made from its node.

Times are those of hearing, each later than the one before: so they also say in which order things were heard.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from warren.conductor import parts
from warren.conductor.maps import Maps
from warren.conductor.reading import Happened, Submitted
from warren.events_workflows import NodeEnded, WorkflowEnded, WorkflowEvent, WorkflowMessageIgnored, WorkflowStarted
from warren.job import Body, Job
from warren.result import Result
from warren.states import JobState
from warren.store import workflows as store
from warren.store.database import Database
from warren.store.workflows import Entry, Output
from warren.topology import WORKFLOW_JOB
from warren.workflow import machine
from warren.workflow.graph import Graph, job_id, part_name
from warren.workflow.jobs import InputsDoNotFit, inputs_of, job_of, result_nodes, result_of
from warren.workflow.machine import CancelJobs, Ended, Enqueue, Finish, Fold, Nudged, PartEnded, Progress
from warren.workflow.states import NodeState, WorkflowState

UNFIT = "inputs_do_not_fit"
REFUSED = "not_enqueued"
_TICK_SECONDS = 1e-6
_PAGE = 200
_GRAPHS = 500
"""Kept at most."""


class Announce(msgspec.Struct, frozen=True):
    """Publish a workflow's own result, or how far it is."""

    result: Result
    reply_to: str


class Cancelling(msgspec.Struct, frozen=True):
    """Cancel these jobs, of which as much is known as their results need."""

    jobs: tuple[Job, ...]
    reason: str


Todo = Job | Announce | Cancelling


class Due(msgspec.Struct, frozen=True):
    """Something to be done, and its entry in the outbox."""

    entry: Entry
    todo: Todo


class Heeded(msgspec.Struct, frozen=True):
    """What a batch led to.

    Attributes:
        dues: to be done, then struck out.
        told: what happened.
        standings: how far workflows are that go on, for whoever waits.
        taken: how many of what was heard changed anything.
        page: the last entry of the outbox that was looked at; 0 when there was none.
    """

    dues: tuple[Due, ...] = ()
    told: tuple[WorkflowEvent, ...] = ()
    standings: tuple[Announce, ...] = ()
    taken: int = 0
    page: int = 0


class Overdue(msgspec.Struct, frozen=True):
    """A node that has been queued for long, and its job: its result may have been lost."""

    workflow: str
    node: str
    job: str
    since: float


class Survey(msgspec.Struct, frozen=True):
    """A page of the workflows that run.

    Attributes:
        ids: of them.
        stuck: those of which a node could be moved, and was not.
        overdue: nodes whose end has not been heard for long.
    """

    ids: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    overdue: tuple[Overdue, ...] = ()


Counts = dict[WorkflowState, int]


class Ledger:
    """Keeps workflows in a database; for one thread.

    Args:
        database: with its tables.
        payload_limit: bytes, of a job.
    """

    def __init__(self, database: Database, payload_limit: int) -> None:
        self._database = database
        self._payload_limit = payload_limit
        self._graphs: OrderedDict[str, Graph] = OrderedDict()
        self._last = 0.0
        """The latest moment at which something was heard; the clock may be set back."""

    def hear(self, heard: Sequence[Submitted | Happened], now: float) -> Heeded:
        """Take in a batch; when this returns, what follows from it is written down.

        Raises:
            StoreUnavailable, StoreEmpty: nothing was.
        """
        with self._database.write() as connection:
            turn = self._turn(connection, now)
            turn.take_in([one for one in heard if isinstance(one, Submitted)])
            turn.apply([one for one in heard if isinstance(one, Happened)])
            return self._close(turn)

    def remaining(self, after: int, now: float) -> Heeded:
        """Return a page of what was noted and may not have been done, after an entry; what needs no doing any more is struck out."""
        with self._database.write() as connection:
            turn = self._turn(connection, now)
            entries = store.to_do(connection, after)
            turn.take_up(entries)
            return replace(self._close(turn), page=entries[-1].id if entries else 0)

    def strike(self, entries: Sequence[int]) -> None:
        """Strike out what was done."""
        with self._database.write() as connection:
            store.done(connection, entries)

    def still_queued(self, entry: Entry, jobs: Sequence[Job]) -> list[Job]:
        """Return those of the jobs of an entry that have not ended meanwhile."""
        with self._database.write() as connection:
            turn = self._turn(connection, 0.0)
            turn.take_up([entry])
            left = {job.id for due in turn.close().dues if isinstance(due.todo, Cancelling) for job in due.todo.jobs}
        return [job for job in jobs if job.id in left]

    def survey(self, after: str, before: float) -> Survey:
        """Look through a page of the workflows that run, in the order of their ids, without changing anything.

        Args:
            after: the last id of the page before.
            before: nodes that are queued since before this moment are told.
        """
        with self._database.read() as connection:
            ids = store.running(connection, after, _PAGE)
            found = [stored for workflow in ids if (stored := store.find(connection, workflow)) is not None]
        stuck, overdue = [], []
        for one in found:
            graph, workflow = Graph.of(one.definition), one.definition.id
            if machine.apply(graph, one.progress, Nudged(before)).taken:
                stuck.append(workflow)
            overdue += [
                Overdue(workflow, node, job, since) for node, job, since in machine.overdue(graph, one.progress, before)
            ]
        return Survey(tuple(ids), tuple(stuck), tuple(overdue))

    def forget(self, ended_before: float | None, most: int | None) -> bool:
        """Remove some of what ended before a moment, or is not of so many that stay; return whether there may be more."""
        with self._database.write() as connection:
            return store.forget(connection, ended_before=ended_before, most=most) >= store.FORGOTTEN

    def counts(self) -> Counts:
        """Count what there is."""
        with self._database.read() as connection:
            return store.counts(connection)

    def refuse(self, refused: Sequence[tuple[Due, str]], now: float) -> Heeded:
        """End nodes whose jobs can never be enqueued, and strike out their entries."""
        jobs = [(due.todo, why) for due, why in refused if isinstance(due.todo, Job)]
        ends = [Happened(job.workflow, _never(job.node, job.id, REFUSED, why, now)) for job, why in jobs]
        with self._database.write() as connection:
            store.done(connection, [due.entry.id for due, _ in refused])
            turn = self._turn(connection, now)
            turn.apply(ends)
            return self._close(turn)

    def _turn(self, connection: Connection, now: float) -> "_Turn":
        return _Turn(connection, self._graphs, self._payload_limit, max(now, self._last))

    def _close(self, turn: "_Turn") -> Heeded:
        heeded = turn.close()
        self._last = turn.now
        while len(self._graphs) > _GRAPHS:
            self._graphs.popitem(last=False)
        return heeded


class _Turn:
    """One transaction's work."""

    def __init__(self, connection: Connection, graphs: OrderedDict[str, Graph], payload_limit: int, now: float) -> None:
        self._connection = connection
        self._graphs = graphs
        self._payload_limit = payload_limit
        self.now = now
        self._progress: dict[str, Progress] = {}
        self._changed: set[str] = set()
        self._entries: list[Entry] = []
        self._told: list[WorkflowEvent] = []
        self._taken = 0
        self._maps = Maps(connection)

    def take_in(self, submitted: Iterable[Submitted]) -> None:
        """Add workflows that are not there yet."""
        for one in submitted:
            graph, workflow = one.graph, one.workflow
            step = machine.begin(graph, self._tick())
            if not store.add(self._connection, graph.definition, step.progress, self.now):
                continue
            self._taken += 1
            self._graphs[workflow] = graph
            self._progress[workflow] = step.progress
            self._told.append(WorkflowStarted(workflow, graph.definition.name, len(graph.definition.nodes)))
            self._entries += store.note(self._connection, workflow, step.actions, self.now)

    def apply(self, happened: Sequence[Happened]) -> None:
        """Move workflows by what happened to them, in its order."""
        self._know({one.workflow for one in happened})
        outputs: list[Output] = []
        for one in happened:
            if one.workflow not in self._progress:
                self._told.append(WorkflowMessageIgnored(f"workflow {one.workflow!r:.60} is not known"))
                continue
            whole = self._maps.whole(one)
            if whole is not None:
                outputs += self._move(whole)
        store.keep(self._connection, outputs)
        self._maps.forget()

    def take_up(self, entries: Sequence[Entry]) -> None:
        """Look again at what was noted."""
        self._know({entry.workflow for entry in entries})
        self._entries += entries

    def close(self) -> Heeded:
        """Write everything down, and return what is to be done."""
        dues: list[Due] = []
        while self._entries:
            entries, self._entries = self._entries, []
            struck, unfit = [], []
            for entry in entries:
                try:
                    todo = self._todo(entry)
                except InputsDoNotFit as error:
                    unfit.append((entry, str(error)))
                    continue
                if todo is None:
                    struck.append(entry.id)
                else:
                    dues.append(Due(entry, todo))
            store.done(self._connection, [*struck, *(entry.id for entry, _ in unfit)])
            self.apply([self._unfit(entry, why) for entry, why in unfit])
        for workflow in self._changed:
            store.save(self._connection, workflow, self._progress[workflow], self.now)
        return Heeded(tuple(dues), tuple(self._told), tuple(self._standings()), self._taken)

    def _know(self, ids: set[str]) -> None:
        """Lock workflows and have them here."""
        new = ids - self._progress.keys()
        self._progress |= store.lock(self._connection, new)
        unread = [workflow for workflow in new & self._progress.keys() if workflow not in self._graphs]
        for workflow, definition in store.definitions(self._connection, unread).items():
            self._graphs[workflow] = Graph.of(definition)
        for workflow in new & self._graphs.keys():
            self._graphs.move_to_end(workflow)

    def _move(self, one: Happened) -> list[Output]:
        """Apply one happening; return what is to be kept of it."""
        workflow, graph = one.workflow, self._graphs[one.workflow]
        before, happening = self._progress[workflow], replace(one.happening, at=self._tick())
        step = machine.apply(graph, before, happening)
        if isinstance(happening, Ended):
            self._told.append(NodeEnded(workflow, happening.node, happening.job_id, happening.state.value, step.taken))
        if not step.taken:
            return []
        self._taken += 1
        self._changed.add(workflow)
        self._progress[workflow] = step.progress
        self._entries += store.note(self._connection, workflow, step.actions, self.now)
        self._tell_end(graph, step.progress, ended=before.ended_at is None)
        if isinstance(happening, PartEnded):
            return self._maps.outputs(graph, step.progress, happening, one.value)
        if isinstance(happening, Ended) and one.value is not None and happening.node in _wanted(graph):
            return [Output(workflow, happening.node, step.progress.nodes[happening.node].run, one.value)]
        return []

    def _tell_end(self, graph: Graph, progress: Progress, *, ended: bool) -> None:
        if progress.ended_at is not None and ended:
            definition = graph.definition
            seconds = progress.ended_at - (definition.created_at or progress.ended_at)
            told = WorkflowEnded(definition.id, definition.name, progress.state.value, seconds, progress.why)
            self._told.append(told)

    def _todo(self, entry: Entry) -> Todo | None:
        """Return what an entry means by now; None when it needs no doing any more."""
        workflow, action = entry.workflow, entry.action
        if workflow not in self._progress:
            return None
        graph, progress = self._graphs[workflow], self._progress[workflow]
        match action:
            case Enqueue(node=name, run=run):
                node = progress.nodes[name]
                if (
                    node.run != run
                    or node.state is not NodeState.QUEUED
                    or graph.definition.nodes[name].map is not None
                ):
                    return None
                values = self._values(workflow, progress, inputs_of(graph.definition.nodes[name]))
                limit = self._payload_limit
                return job_of(graph.definition, name, run, values, now=self.now, payload_limit=limit)
            case Fold() as fold:
                return self._maps.job(graph, progress, fold, self.now, self._payload_limit)
            case CancelJobs(jobs=jobs, reason=reason):
                queued = [
                    _stub(graph, name, job) for name, job in jobs.items() if _is_queued(graph, progress, name, job)
                ]
                return Cancelling(tuple(queued), reason) if queued else None
            case Finish():
                running = progress.state is WorkflowState.RUNNING
                return None if running else self._announcement(graph, progress)

    def _announcement(self, graph: Graph, progress: Progress) -> Announce:
        values = {}
        if progress.state is WorkflowState.DONE:
            values = self._values(graph.definition.id, progress, result_nodes(graph))
        told = result_of(graph, progress, values, self.now)
        return Announce(told, graph.definition.reply_to or "")

    def _values(self, workflow: str, progress: Progress, names: Iterable[str]) -> dict[str, msgspec.Raw]:
        done = {name: progress.nodes[name].run for name in names if progress.nodes[name].state is NodeState.DONE}
        return store.kept(self._connection, workflow, done) if done else {}

    def _unfit(self, entry: Entry, why: str) -> Happened:
        action, workflow = entry.action, entry.workflow
        if isinstance(action, Fold):
            name = part_name(action.node, action.level, action.place)
            return Happened(workflow, _never(name, job_id(workflow, name, 1), UNFIT, why, self.now))
        assert isinstance(action, Enqueue)
        job = job_id(workflow, action.node, action.run)
        return Happened(workflow, _never(action.node, job, UNFIT, why, self.now))

    def _standings(self) -> Iterable[Announce]:
        for workflow in self._changed:
            graph, progress = self._graphs[workflow], self._progress[workflow]
            if progress.state is WorkflowState.RUNNING and graph.definition.reply_to:
                yield Announce(result_of(graph, progress, {}, self.now), graph.definition.reply_to)

    def _tick(self) -> float:
        self.now += _TICK_SECONDS
        return self.now


def _never(node: str, job: str, reason: str, why: str, now: float) -> Ended | PartEnded:
    return parts.ended_otherwise(Ended(node, job, JobState.DEAD, now, reason, why))


def _stub(graph: Graph, name: str, job: str) -> Job:
    """As much of a job as its result needs."""
    node = graph.definition.nodes[name.partition("@")[0]]
    return Job(job, Body(node.task), node.queue, reply_to=WORKFLOW_JOB, workflow=graph.definition.id, node=name)


def _is_queued(graph: Graph, progress: Progress, name: str, job: str) -> bool:
    node = progress.nodes.get(name)
    if node is None:  # a part of a map
        return True
    return node.state is NodeState.QUEUED and job_id(graph.definition.id, name, node.run) == job


def _wanted(graph: Graph) -> frozenset[str]:
    """The nodes whose output somebody takes."""
    nodes = graph.definition.nodes.values()
    return frozenset(result_nodes(graph)).union(*(inputs_of(node) for node in nodes))
