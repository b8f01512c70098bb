"""structlog is loaded without rich, and whoever wants what rich draws gets it."""

import re
import subprocess
import sys

import pytest

DRAWN = """
import structlog
structlog.configure(processors=[structlog.dev.ConsoleRenderer(colors=True)])
"""
AS_DATA = """
import structlog
tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=True, locals_max_length=3)
structlog.configure(processors=[structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()])
"""
FAIL = """
def divide(numbers):
    return numbers[0] / 0

try:
    divide([1, 2, 3, 4, 5])
except ZeroDivisionError:
    structlog.get_logger().exception("failed")
"""


def said(script: str) -> list[str]:
    """Run a script in a fresh interpreter; its lines, without the addresses of objects."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return re.sub("0x[0-9a-f]+", "", done.stdout).splitlines()


@pytest.mark.parametrize("configured", [DRAWN, AS_DATA], ids=["drawn", "as data"])
def test_what_rich_draws_is_the_same(configured: str) -> None:
    plainly = said(configured + FAIL)
    assert "numbers" in "".join(plainly)
    assert said("__import__('warren.logs')" + configured + FAIL) == plainly


def test_rich_is_loaded_when_it_is_used() -> None:
    loaded = "import sys; print('rich.console' in sys.modules)"
    assert said(f"import warren.logs; {loaded}") == ["False"]
    assert said(f"import warren.logs{DRAWN}{FAIL}{loaded}")[-1] == "True"


def test_where_rich_is_loaded_already_structlog_has_it_as_usual() -> None:
    assert said(
        "import rich.console, warren.logs, structlog.dev; print(structlog.dev.Console is rich.console.Console)"
    ) == ["True"]
