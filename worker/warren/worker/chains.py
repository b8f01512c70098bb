"""The await chain of a coroutine: which line of which coroutine waits for which, from the outermost to what all of them wait for.

`faulthandler` cannot show it: a coroutine that waits is on no thread's stack. Pure.
"""

import asyncio
import types
from pathlib import Path
from typing import Any

CHAIN_CHARACTERS = 2_000
_OURS = f"{Path(__file__).parent}/"
_DEEPEST = 50


def chain_of(awaited: Any) -> str:
    """Return the chain as lines in the form of a traceback, without our own frames.

    Args:
        awaited: a coroutine, or anything that one can wait for.
    """
    lines: list[str] = []
    for _ in range(_DEEPEST):
        frame = _frame_of(awaited)
        if frame is None:
            break
        if not frame.f_code.co_filename.startswith(_OURS):
            lines.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_qualname}')
        awaited = _waits_for(awaited)
    if awaited is not None:
        lines.append(f"  waits for {_named(awaited)}")
    return "\n".join(lines)[:CHAIN_CHARACTERS]


def _frame_of(awaited: Any) -> types.FrameType | None:
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame = getattr(awaited, name, None)
        if isinstance(frame, types.FrameType):
            return frame
    return None


def _waits_for(awaited: Any) -> Any:
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        if hasattr(awaited, name):
            return getattr(awaited, name)
    return None


def _named(awaited: Any) -> str:
    """What a chain ends in: nearly always a future, of which only its iterator is seen."""
    if isinstance(awaited, asyncio.Future):
        return repr(awaited)
    kind = type(awaited).__name__
    return "a future" if kind == "FutureIter" else f"a {kind}"
