"""Commands and answers on their way: what is written can be read, and what cannot be is told."""

from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren import control
from warren.amqp.seam import Message
from warren.control import KEPT, Command, NotUnderstood, PauseQueue, Reply, ResumeQueue

NOW = 1_700_000_000.5
PAUSE = PauseQueue("images", NOW)

moments = st.floats(0, 1e12)


def kinds(kind: type[Command]) -> st.SearchStrategy[Command]:
    """Any command of a kind, at moments that there are."""
    times = {name: moments for name, hint in get_type_hints(kind).items() if hint is float}
    return st.builds(kind, **times)


commands = st.one_of(*map(kinds, get_args(Command)))


@given(commands)
def test_a_command_survives_its_way(command: Command) -> None:
    message, _ = control.command_message(command, NOW)
    assert control.command_of(message) == command


@given(commands)
def test_the_key_says_whether_a_command_is_kept(command: Command) -> None:
    message, key = control.command_message(command, NOW)
    assert key == f"{'kept' if type(command) in KEPT else 'live'}.{message.type}"


def test_every_command_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(Command)]
    assert len(tags) == len(set(tags))
    assert set(get_args(Command)) >= KEPT


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b'{"type":"from the future"}', b'{"type":"pause"}', b"[" * 100_000]
)
def test_what_is_no_command_is_told(body: bytes) -> None:
    with pytest.raises(NotUnderstood, match="is no command known here"):
        control.command_of(Message(body, type="pause"))


def test_a_command_is_for_all_or_for_the_worker_it_names() -> None:
    everybody, _ = control.command_message(PAUSE, NOW)
    one, _ = control.command_message(PAUSE, NOW, worker="a")
    assert control.is_for(everybody, "a")
    assert control.is_for(one, "a")
    assert not control.is_for(one, "b")


def test_an_answer_reaches_whoever_asked_and_can_be_read() -> None:
    asked, _ = control.command_message(PAUSE, NOW, reply_to="me")
    message, key = control.reply_message(asked, "w1", ResumeQueue("images", NOW), NOW)
    assert (key, message.correlation_id) == ("reply.me", asked.message_id)
    reply = control.reply_of(message)
    assert reply is not None
    assert (reply.worker, reply.read(ResumeQueue)) == ("w1", ResumeQueue("images", NOW))


@given(st.binary(max_size=40))
def test_anything_may_come_as_an_answer(body: bytes) -> None:
    reply = control.reply_of(Message(body))
    assert reply is None or isinstance(reply, Reply)


def test_an_answer_of_another_version_is_told() -> None:
    asked, _ = control.command_message(PAUSE, NOW, reply_to="me")
    message, _ = control.reply_message(asked, "w1", PAUSE, NOW)
    reply = control.reply_of(message)
    assert reply is not None
    with pytest.raises(NotUnderstood, match="worker 'w1' answers what is not understood"):
        reply.read(int)
