"""The tasks of the word count: plain functions, which anybody may also just call."""

import os
import re
import signal
import zlib
from collections import Counter
from pathlib import Path

from warren import context
from warren.retry import Retry
from warren.task import task

_WORD = re.compile(r"[^\W\d_]+")
_ONE_IN = 50


class Hiccup(Exception):
    """The injected failure: gone at the second attempt, as a network's would be."""


@task
def count_words(path: str) -> dict[str, int]:
    """Return how often each word occurs in a file; bytes that are no UTF-8 never stop it."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return dict(Counter(_WORD.findall(text.lower())))


@task(retry=Retry(attempts=3, wait=0.5))
def count_words_with_faults(path: str, killer: str = "") -> dict[str, int]:
    """As `count_words`, but at the first attempt 1 file in 50 fails, and the file named `killer` kills its process."""
    if context.job().attempt == 1:
        if path == killer:
            os.kill(os.getpid(), signal.SIGKILL)
        if hiccups(path):
            raise Hiccup(f"{path} could not be read, for the sake of the demonstration")
    return count_words(path)


def hiccups(path: str) -> bool:
    """Whether the first attempt at this file fails: the same files every time."""
    return zlib.crc32(path.encode()) % _ONE_IN == 0
