"""A dead letter as JSON and as text for a human."""

from typing import Any

import click
import msgspec

from warren.console.output import as_line, clock, fields, iso, printable
from warren.dead_letter import DeadLetter
from warren.outcome import signal_name

_PREVIEW_BYTES = 200
_LISTED_BODY_BYTES = 16_384
"""In a list of a thousand, longer arguments are only begun."""


def document(letter: DeadLetter, *, whole: bool) -> dict[str, object]:
    """Return a letter as a JSON object.

    Args:
        letter: as read.
        whole: with the arguments and items of any length.
    """
    return {
        "id": letter.id,
        "task": letter.task,
        "queue": letter.queue,
        "reason": letter.reason,
        "error": letter.error,
        "error_type": letter.error_type,
        "traceback": letter.traceback,
        "attempts": letter.attempts,
        "crashes": letter.crashes,
        "signal": letter.signal,
        "exit_code": letter.exit_code,
        "max_rss": letter.max_rss,
        "oom": letter.oom,
        "output": letter.output,
        "stack": letter.stack,
        "worker": letter.worker,
        "enqueued_at": iso(letter.enqueued_at),
        "died_at": iso(letter.died_at),
        "replays": letter.replays,
        "replayable": letter.job is not None,
        "items": letter.items,
        "body_bytes": len(letter.body),
        **_body(letter, whole=whole),
    }


def _body(letter: DeadLetter, *, whole: bool) -> dict[str, object]:
    if letter.job is None or (len(letter.body) > _LISTED_BODY_BYTES and not whole):
        return {"body_preview": preview(letter.body)}
    body = letter.job.body
    found: dict[str, object] = {"args": body.args, "kwargs": body.kwargs}
    return found | {"item_values": body.items} if whole and body.items is not None else found


def preview(body: bytes) -> str:
    """Return the beginning of bytes that may be anything, printable."""
    shown = printable(body[:_PREVIEW_BYTES].decode(errors="replace"))
    return f"{shown}…" if len(body) > _PREVIEW_BYTES else shown


def show(letter: DeadLetter) -> None:
    """Print all that is known of a letter, for a human."""
    fields(
        (
            ("id", letter.id),
            ("task", letter.task),
            ("queue", letter.queue),
            ("reason", letter.reason),
            ("error", f"{letter.error_type}: {letter.error}" if letter.error_type else letter.error),
            ("attempts", letter.attempts),
            ("crashes", letter.crashes or None),
            ("ended by", signal_name(letter.signal) if letter.signal is not None else None),
            ("out of memory", "the kernel killed it" if letter.oom else None),
            ("exit code", letter.exit_code),
            ("peak memory", f"{letter.max_rss >> 20} MiB" if letter.max_rss else None),
            ("worker", letter.worker),
            ("enqueued", _when(letter.enqueued_at)),
            ("died", _when(letter.died_at)),
            ("replays", letter.replays or None),
        )
    )
    click.echo()
    for line in _call(letter):
        click.echo(printable(line))
    if letter.traceback:
        click.echo(f"\n{printable(letter.traceback.rstrip())}")
    _block("where its process was at the end", letter.stack)
    _block("the last that its process printed", letter.output)
    click.echo()
    verbs = "run it again: `warren dead replay {0}`; remove it: `warren dead drop {0}`"
    click.echo((verbs if letter.job else "remove it: `warren dead drop {0}`").format(letter.id))


def _block(heading: str, text: str) -> None:
    if text.strip():
        lines = printable(text.strip("\r\n").replace("\r\n", "\n")).split("\n")
        click.echo("\n".join((f"\n{heading}:", *(f"  {line}" for line in lines))))


def _when(seconds: float | None) -> str | None:
    return f"{clock(seconds)} UTC" if seconds is not None else None


def _call(letter: DeadLetter) -> list[str]:
    """The body as the call it means, one argument a line; the beginning of the bytes when it means none."""
    if letter.job is None:
        return [f"the body is no job ({len(letter.body):,} bytes):", f"  {preview(letter.body)}"]
    body = letter.job.body
    if not (body.args or body.kwargs or body.items):
        return ["called without arguments"]
    lines = ["called with"]
    lines += [f"  {_readable(value)}" for value in body.args]
    lines += [f"  {name} = {_readable(value)}" for name, value in body.kwargs.items()]
    places = zip(body.places(), body.items or (), strict=True)
    return lines + [f"  item {place}: {_readable(value)}" for place, value in places]


def _readable(value: msgspec.Raw) -> str:
    decoded: Any = msgspec.json.decode(value)
    return repr(decoded) if isinstance(decoded, str) else as_line(decoded)
