"""A dead letter as people and scripts see it."""

import json

import msgspec
import pytest
from tests.console.executable import buried, undecodable

from warren import dead_letter
from warren.amqp.seam import Message
from warren.console import dead_telling
from warren.dead_letter import DeadLetter

LEAST = {
    "id", "task", "queue", "reason", "error", "attempts", "crashes", "signal", "worker", "enqueued_at", "died_at",
    "error_type", "traceback", "exit_code", "max_rss", "replays", "items", "output", "stack", "oom",
}  # fmt: skip


def letter_of(message: Message) -> DeadLetter:
    return dead_letter.read(message, "default", 0.0)


def as_json(letter: DeadLetter, *, whole: bool = False) -> dict[str, object]:
    found: dict[str, object] = json.loads(msgspec.json.encode(dead_telling.document(letter, whole=whole)))
    return found


def test_a_job_has_its_evidence_and_its_arguments() -> None:
    document = as_json(letter_of(buried("m:t", "images", "crashed", signal=9, max_rss=1 << 20)))
    assert set(document) >= LEAST
    assert document["args"] == [1]
    assert document["kwargs"] == {"size": 2}
    assert (document["signal"], document["exit_code"], document["replayable"]) == (9, None, True)
    assert str(document["died_at"]).endswith("Z")


def test_bytes_that_are_no_job_have_a_preview_instead() -> None:
    document = as_json(letter_of(undecodable(b"\x1b[31mred\xff" + b"x" * 1000)))
    assert set(document) >= LEAST
    assert "args" not in document
    assert document["replayable"] is False
    preview = str(document["body_preview"])
    assert preview.startswith("\\x1b[31mred\ufffd")
    assert preview.endswith("…")
    assert document["body_bytes"] == 1009


def test_long_arguments_are_only_begun_in_a_list() -> None:
    message = Message(json.dumps({"task": "m:t", "args": ["x" * 50_000]}).encode(), message_id="1")
    letter = letter_of(message)
    assert "args" not in as_json(letter)
    assert len(str(as_json(letter)["body_preview"])) < 300
    assert as_json(letter, whole=True)["args"] == ["x" * 50_000]


def test_the_items_of_a_chunk_are_counted_and_shown_whole() -> None:
    letter = letter_of(Message(b'{"task": "m:t", "items": [7, 8], "indexes": [3, 5]}', message_id="1"))
    assert as_json(letter)["items"] == 2
    assert as_json(letter, whole=True)["item_values"] == [7, 8]


def test_what_is_shown_names_reason_arguments_traceback_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    letter = letter_of(buried("m:t", "images", "crashed", signal=9, max_rss=64 << 20))
    dead_telling.show(letter)
    text = capsys.readouterr().out
    for expected in ("crashed", "SIGKILL", "64 MiB", "size = 2", "Traceback: here", f"warren dead replay {letter.id}"):
        assert expected in text


def test_a_crash_shows_where_the_process_was_and_what_it_printed(capsys: pytest.CaptureFixture[str]) -> None:
    output = "step 1\r\n\x1b]0;owned\x07\nstep 2\n"
    letter = letter_of(buried(reason="crashed", signal=9, output=output, stack='  File "a.py", line 1', oom=True))
    document = as_json(letter)
    assert (document["output"], document["stack"], document["oom"]) == (output, '  File "a.py", line 1', True)
    dead_telling.show(letter)
    text = capsys.readouterr().out
    assert "the kernel killed it" in text
    assert 'where its process was at the end:\n    File "a.py", line 1\n' in text
    assert "the last that its process printed:\n  step 1\n  \\x1b]0;owned\\x07\n  step 2\n" in text


def test_what_cannot_be_replayed_is_not_offered_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    dead_telling.show(letter_of(undecodable()))
    text = capsys.readouterr().out
    assert "the body is no job (7 bytes)" in text
    assert "dead replay" not in text
    assert "dead drop" in text


def test_nothing_in_a_letter_can_play_tricks_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    message = Message(
        b'{"task": "m:t", "args": ["\\u001b]0;owned\\u0007"]}',
        message_id="\x1b[2J",
        headers={
            "warren-dead-reason": "failed",
            "warren-dead-error": "\x1b[31m",
            "warren-dead-traceback": "\x07\nline",
        },
    )
    dead_telling.show(letter_of(message))
    text = capsys.readouterr().out
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "\nline" in text
