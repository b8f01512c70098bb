"""Control: what is said to workers, and what they answer; pure.

A command is a frozen Struct with a tag. It goes to the exchange `<namespace>.control` by a routing key that begins with
`kept` or `live`; every worker has a queue of its own there. What is `KEPT` goes into the stream `<namespace>.control` as well,
confirmed: a worker that starts later reads it there, from the first message on, before it takes any job. So a kept command
must mean the same however often, how late and in what order it is read.

To add a command:

1. here: its Struct, with a tag that nobody else has; its name in `Command`, and in `KEPT` if it must outlive a restart; what a
   worker answers, if it does, as another Struct;
2. in the worker: `control.on(MyCommand, handler)` in `warren.worker.daemon`. The handler is called on the loop and returns the
   answer, a coroutine of it for what takes a while, or None for none. What is read from the stream is not answered;
3. where it is said: `Asker.ask` (`warren.asking`) sends it, to all workers or by name to one, and collects the answers;
   `warren.console.asking.ask` does that for one command of the command line.
"""

from typing import TypeVar

import msgspec

from warren.amqp.seam import Message
from warren.job import APP_ID, CONTENT_TYPE, new_id
from warren.steering import Steer
from warren.topology import KEPT as _KEPT
from warren.topology import LIVE, MARK, REPLY

A = TypeVar("A")

_WORKER = "warren-worker"


class CancelJobs(msgspec.Struct, frozen=True, tag="cancel"):
    """These jobs shall not run (on); a worker answers with what it `Held` of them."""

    ids: tuple[str, ...]
    at: float
    reason: str


class CancelTask(msgspec.Struct, frozen=True, tag="cancel_task"):
    """The jobs of a task that were enqueued before `at` shall not run (on); a worker answers with what it `Held` of them."""

    task: str
    at: float
    reason: str


class ResultsTold(msgspec.Struct, frozen=True, tag="told"):
    """Whoever waits for these cancelled jobs was told already: no worker that meets them later needs to."""

    ids: tuple[str, ...]


class Held(msgspec.Struct, frozen=True):
    """What a worker had of cancelled jobs, by their ids.

    Attributes:
        running: are being run, and were told to end.
        withdrawn: waited here; they have ended as cancelled.
        ended: had their outcome already, and it is about to be told.
        retried: had failed; their next attempt is on its way through the broker, and will not begin.
    """

    running: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()


class PauseQueue(msgspec.Struct, frozen=True, tag="pause"):
    """No worker takes jobs of a queue any more; of what was said of a queue, that with the latest `at` holds."""

    queue: str
    at: float


class ResumeQueue(msgspec.Struct, frozen=True, tag="resume"):
    """Workers take jobs of a queue again; see `PauseQueue`."""

    queue: str
    at: float


Command = CancelJobs | CancelTask | ResultsTold | PauseQueue | ResumeQueue | Steer
KEPT: frozenset[type] = frozenset({CancelJobs, CancelTask, ResultsTold, PauseQueue, ResumeQueue})
"""What must outlive a restart; all the rest reaches the workers that are connected just then."""


class Reply(msgspec.Struct, frozen=True):
    """What one worker answers, by its name; `answer` is JSON of the Struct that belongs to the command."""

    worker: str
    answer: msgspec.Raw

    def read(self, kind: type[A]) -> A:
        """Return the answer.

        Raises:
            NotUnderstood: it is of another version, or of none.
        """
        try:
            return msgspec.json.decode(self.answer, type=kind)
        except msgspec.MsgspecError as error:
            raise NotUnderstood(f"worker {self.worker!r} answers what is not understood here: {error}") from error


class NotUnderstood(Exception):
    """A message on the control exchange that is no command known here."""


def command_message(command: Command, now: float, *, worker: str = "", reply_to: str = "") -> tuple[Message, str]:
    """Return a command's message and its routing key.

    Args:
        command: what is said.
        now: seconds since the epoch.
        worker: the name of the only one that shall obey; all do when it is empty.
        reply_to: the key of whoever wants answers, see `Asker`.
    """
    tag = str(command.__struct_config__.tag)
    message = Message(
        msgspec.json.encode(command),
        message_id=new_id(now),
        type=tag,
        content_type=CONTENT_TYPE,
        timestamp=int(now),
        reply_to=reply_to or None,
        app_id=APP_ID,
        headers={_WORKER: worker} if worker else {},
    )
    return message, f"{_KEPT if type(command) in KEPT else LIVE}.{tag}"


def command_of(message: Message) -> Command:
    """Read a command.

    Raises:
        NotUnderstood: it is none, or one of a later version.
    """
    try:
        return _COMMAND.decode(message.body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise NotUnderstood(f"a message of type {message.type!r:.60} is no command known here: {error}") from error


def is_for(message: Message, worker: str) -> bool:
    """Tell whether a worker of this name shall obey."""
    return message.headers.get(_WORKER, worker) == worker


def reply_message(command: Message, worker: str, answer: msgspec.Struct, now: float) -> tuple[Message, str]:
    """Return the message of a worker's answer and its routing key."""
    reply = Reply(worker, msgspec.Raw(msgspec.json.encode(answer)))
    message = Message(
        msgspec.json.encode(reply),
        message_id=new_id(now),
        type="reply",
        content_type=CONTENT_TYPE,
        timestamp=int(now),
        correlation_id=command.message_id,
        app_id=APP_ID,
    )
    return message, reply_key(command.reply_to or "")


def reply_of(message: Message) -> Reply | None:
    """Read an answer; None for a message that is none."""
    try:
        return _REPLY.decode(message.body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def reply_key(unique: str) -> str:
    """Return the routing key by which answers reach whoever asked under this name."""
    return f"{REPLY}.{unique}"


def mark_message(now: float) -> tuple[Message, str]:
    """Return a message that only the stream gets, and its key: whoever reads as far as that has read what was there."""
    return Message(b"", message_id=new_id(now), type=MARK, timestamp=int(now), app_id=APP_ID), MARK


_COMMAND: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_REPLY = msgspec.json.Decoder(Reply)
