"""What `faulthandler` wrote, made readable: the thread that matters first, and of its frames the task's. Pure."""

import asyncio
import re
from pathlib import Path

STACK_CHARACTERS = 8_192
_THREAD = re.compile(r"(Current thread|Thread) 0x")
_OUTERMOST = re.compile(r'  File "<frozen runpy>", line \d+ in _run_module_as_main')
"""The last frame of the main thread, which is the last of the threads."""
_OURS = (f'  File "{Path(__file__).parent}/', '  File "<frozen runpy>"')
_LOOPS = f'  File "{Path(asyncio.__file__).parent}/'


def is_whole(text: str) -> bool:
    """Tell whether all threads are in it for sure."""
    return text.endswith("\n") and _OUTERMOST.fullmatch(text.rstrip("\n").rpartition("\n")[2]) is not None


def readable(text: str) -> str:
    """Return stacks without the frames that lead to a task, and no longer than a dead letter should be."""
    head, threads, rest = list[str](), list[list[str]](), list[str]()
    for block in filter(None, re.split(r"\n\n+", text.strip("\n"))):
        if _THREAD.match(block):
            threads.append(block.splitlines())
        else:
            (rest if threads else head).append(block)
    threads.sort(key=lambda lines: (not lines[0].startswith("Current"), not _is_main(lines)))
    shown = "\n\n".join([*head, *("\n".join(_without_ours(lines)) for lines in threads), *rest])
    return shown if len(shown) <= STACK_CHARACTERS else _cut(shown)


def innermost(stacks: str) -> str:
    """Return where the first thread was, in a line; nothing when that is not known."""
    frames = (line.strip() for line in stacks.splitlines() if line.startswith("  File "))
    return next(frames, "")


def _is_main(lines: list[str]) -> bool:
    return _OUTERMOST.fullmatch(lines[-1]) is not None


def _without_ours(lines: list[str]) -> list[str]:
    if not _is_main(lines):
        return lines
    end = len(lines)
    while end > 1 and lines[end - 1].startswith((*_OURS, _LOOPS)):
        end -= 1
    return lines[:end] if end > 1 else [lines[0], "  (no task runs in it)"]


def _cut(text: str) -> str:
    whole_lines = text[: STACK_CHARACTERS - 4].rpartition("\n")[0]
    return f"{whole_lines}\n..."
