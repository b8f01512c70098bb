"""What the messages of the workflows' queue say: pure.

Three kinds come: requests of producers and operators, results of workflows' jobs, and every dead letter of the namespace, since
the broker writes some itself, of which there is no result. A dead letter of a job that belongs to no workflow says nothing.
"""

import hashlib

import msgspec

from warren import dead_letter, result
from warren.amqp.seam import Delivery, Message
from warren.conductor import parts
from warren.errors import InvalidWorkflow
from warren.job import NODE, WORKFLOW
from warren.result import Result
from warren.states import FINAL, JobState
from warren.topology import Names
from warren.workflow import messages
from warren.workflow.graph import Definition, Graph, part_of
from warren.workflow.jobs import TASK
from warren.workflow.machine import CancelAsked, Ended, Happening, MapCounted, RetryAsked

INVALID = "invalid_workflow"
_EXPIRED = "expired"
_ID_BYTES = 255
_NAME_CHARACTERS = 200
_ERROR_CHARACTERS = 1_000


class Submitted(msgspec.Struct, frozen=True):
    """A workflow to begin."""

    graph: Graph

    @property
    def workflow(self) -> str:
        return self.graph.definition.id


class Happened(msgspec.Struct, frozen=True):
    """Something happened to a workflow; `value` is what a node returned.

    Attributes:
        values: of a chunk's items, where they may be not all of them.
        expected: how many it has.
    """

    workflow: str
    happening: Happening
    value: msgspec.Raw | None = None
    values: parts.Values = {}
    expected: int = 0


class Refused(msgspec.Struct, frozen=True):
    """A workflow that is none; whoever waits for it is told by this result, under this routing key; None where that cannot be."""

    answer: Result
    reply_to: str | None


class Nothing(msgspec.Struct, frozen=True):
    """Nothing to be done; `why` says what should not have come, if so."""

    why: str = ""


Heard = Submitted | Happened | Refused | Nothing


def read(delivery: Delivery, names: Names, now: float) -> Heard:
    """Return what a message says, which may have been written by anybody."""
    if delivery.exchange == names.dead:
        return _dead(delivery, now)
    if delivery.exchange == names.workflows:
        return _request(delivery.message, now)
    return _result(delivery.message)


def _request(message: Message, now: float) -> Heard:
    try:
        request = messages.from_message(message)
    except messages.NotARequest as error:
        return Nothing(str(error))
    asked = message.message_id or f"anonymous-{hashlib.sha256(message.body).hexdigest()[:16]}"
    match request:
        case messages.Submit(workflow=definition):
            return _submitted(definition, now)
        case messages.Cancel():
            return Happened(request.id, CancelAsked(asked, request.at, request.reason))
        case messages.Retry():
            return Happened(request.id, RetryAsked(asked, request.at))
        case messages.MapEnd(node=node, chunks=chunks, items=items):
            return Happened(request.id, MapCounted(node, chunks, items, request.at))


def _submitted(definition: Definition, now: float) -> Heard:
    try:
        _check(definition)
        return Submitted(Graph.of(definition))
    except InvalidWorkflow as error:
        name, own, why = definition.name[:_NAME_CHARACTERS], definition.id, str(error)[:_ERROR_CHARACTERS]
        key = definition.reply_to or result.NOBODY
        # The id and the key are short strings of AMQP: an answer with longer ones could not be sent, now or later.
        answerable = own and _is_short(own) and _is_short(key)
        answer = Result(own[:_ID_BYTES], TASK + name, "", JobState.DEAD, 1, now, reason=INVALID, error=why)
        return Refused(answer, key if answerable else None)


def _check(definition: Definition) -> None:
    """Refuse what cannot be kept or found again."""
    if not (definition.id.isprintable() and definition.id and _is_short(definition.id)):
        raise InvalidWorkflow(definition.name[:_NAME_CHARACTERS], f"its id is no text of 1 to {_ID_BYTES} bytes")
    if not _is_short(definition.reply_to or ""):
        raise InvalidWorkflow(definition.name[:_NAME_CHARACTERS], f"its reply_to has more than {_ID_BYTES} bytes")
    if len(definition.name) > _NAME_CHARACTERS:
        raise InvalidWorkflow(
            definition.name[:_NAME_CHARACTERS], f"its name has more than {_NAME_CHARACTERS} characters"
        )


def _is_short(text: str) -> bool:
    return len(text.encode()) <= _ID_BYTES


def _result(message: Message) -> Heard:
    workflow, node = _place(message)
    found = result.from_message(message)
    if not workflow or found is None:
        return Nothing("a message came as the result of a workflow's job and is none")
    if part_of(node) is not None:
        part = parts.heard(node, found)
        return Nothing() if part is None else Happened(workflow, part.end, part.value, part.values, part.expected)
    return ended(workflow, node, found) if found.state in FINAL else Nothing()


def ended(workflow: str, node: str, found: Result) -> Happened:
    """Return what a job's final result means to its node."""
    part = parts.heard(node, found)
    if part is not None:
        return Happened(workflow, part.end, part.value, part.values, part.expected)
    end = Ended(node, found.id, found.state, found.finished_at, found.reason, found.error, found.error_type)
    return Happened(workflow, end, found.value if found.state is JobState.DONE else None)


def _dead(delivery: Delivery, now: float) -> Heard:
    message = delivery.message
    workflow, node = _place(message)
    if not workflow:
        return Nothing()
    letter = dead_letter.read(message, delivery.routing_key, now)
    state = JobState.EXPIRED if letter.reason == _EXPIRED else JobState.DEAD
    at = letter.died_at if letter.died_at is not None else now
    end = Ended(node, letter.id, state, at, letter.reason, letter.error, letter.error_type)
    return Happened(workflow, parts.ended_otherwise(end))


def _place(message: Message) -> tuple[str, str]:
    workflow, node = message.headers.get(WORKFLOW), message.headers.get(NODE)
    return (workflow, node) if isinstance(workflow, str) and isinstance(node, str) else ("", "")
