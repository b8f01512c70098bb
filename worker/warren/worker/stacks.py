"""What `faulthandler` wrote, made readable: the thread that matters first, and of its frames the task's. Pure."""

import asyncio
import re
import selectors
import threading
from pathlib import Path

STACK_CHARACTERS = 8_192
_THREAD = re.compile(r"(Current thread|Thread) 0x")
_OUTERMOST = re.compile(r'  File "<frozen runpy>", line \d+ in _run_module_as_main')
"""The last frame of the main thread, which is the last of the threads."""
_OURS = (f'  File "{Path(__file__).parent}/', '  File "<frozen runpy>"')
_ROAD = (
    *_OURS,
    f'  File "{Path(asyncio.__file__).parent}/',
    f'  File "{threading.__file__}"',
    f'  File "{selectors.__file__}"',
)
"""What leads to a task's frames: our own, an event loop's, a thread's beginning."""
_IDLE = "  (no task runs in it)"


def is_whole(text: str) -> bool:
    """Tell whether all threads are in it for sure."""
    return text.endswith("\n") and _OUTERMOST.fullmatch(text.rstrip("\n").rpartition("\n")[2]) is not None


def readable(text: str) -> str:
    """Return stacks without the frames that lead to a task, and no longer than a dead letter should be."""
    head, threads, rest = list[str](), list[list[str]](), list[str]()
    for block in filter(None, re.split(r"\n\n+", text.strip("\n"))):
        if _THREAD.match(block):
            threads.append(_without_road(block.splitlines()))
        else:
            (rest if threads else head).append(block)
    threads.sort(key=lambda lines: (lines[-1] == _IDLE, not lines[0].startswith("Current")))
    shown = "\n\n".join([*head, *map("\n".join, threads), *rest])
    return shown if len(shown) <= STACK_CHARACTERS else _cut(shown)


def innermost(stacks: str) -> str:
    """Return where the first thread was, in a line; nothing when that is not known."""
    frames = (line.strip() for line in stacks.splitlines() if line.startswith("  File "))
    return next(frames, "")


def _without_road(lines: list[str]) -> list[str]:
    """A thread's stack up to the task that it runs, if it is one of those that run tasks."""
    end = len(lines)
    while end > 1 and lines[end - 1].startswith(_ROAD):
        end -= 1
    if not any(line.startswith(_OURS) for line in lines[end:]):
        return lines
    return lines[:end] if end > 1 else [lines[0], _IDLE]


def _cut(text: str) -> str:
    whole_lines = text[: STACK_CHARACTERS - 4].rpartition("\n")[0]
    return f"{whole_lines}\n..."
