"""Kinds of values on the command line, beyond click's own: callbacks of its parameters."""

import math
import re
import time
from datetime import UTC, datetime
from typing import Any

import click
import msgspec


def json_or_text(word: str) -> Any:
    """Return a word as the JSON it is, or as it stands."""
    try:
        return msgspec.json.decode(word)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return word


def each_json_or_text(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> tuple[Any, ...]:
    """Read every word by `json_or_text`."""
    return tuple(json_or_text(word) for word in words)


def json_object(_: click.Context, __: click.Parameter, text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise click.BadParameter(f'{text!r} is no JSON object such as {{"size": 64}}: {error}') from error


def moment(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """Read a date and time as ISO 8601."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no moment such as 2030-12-24T18:00:00+01:00") from error


_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def ago(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Read a moment as seconds since the epoch: ISO 8601, UTC where it names no zone, or how long ago as in `90s`, `2h`, `7d`."""
    if text is None:
        return None
    if found := _AGO.fullmatch(text):
        return time.time() - float(found[1]) * _SECONDS[found[2]]
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither a moment such as 2030-12-24T18:00 nor a time ago such as 2h"
        ) from error
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def finite(_: click.Context, __: click.Parameter, number: float | None) -> float | None:
    """Take a number that can be reckoned with."""
    if number is not None and not math.isfinite(number):
        raise click.BadParameter(f"{number} is no number of finite size")
    return number
