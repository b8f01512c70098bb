"""`warren top`: a page that refreshes, on a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.console.executable import Warren
from tests.console.warm import ROOT
from tests.faults import jobs
from tests.faults.workers import Gate, worker_and_producer
from tests.support import Broker, eventually

pytestmark = pytest.mark.broker

ENTERS, LEAVES = "\x1b[?1049h", "\x1b[?1049l"
NO_API = {"WARREN_MANAGEMENT_URL": "http://127.0.0.1:1"}


class Terminal:
    """A pseudo-terminal of 80 by 24 with a program on it."""

    def __init__(self, environ: dict[str, str], *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(80, 24)
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        os.set_blocking(self.ours, False)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "warren", *arguments],
            cwd=ROOT,
            env={"TERM": "xterm-256color", **environ},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # Its controlling terminal: what is pressed there, as Ctrl-C, reaches it as a signal.
            preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 - calls nothing that another thread could hold
        )
        self._said = b""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def said(self) -> str:
        """All that was written to it."""
        try:
            while data := os.read(self.ours, 65_536):
                self._said += data
        except (BlockingIOError, OSError):
            pass  # nothing more now, or for ever
        return self._said.decode(errors="ignore")

    @property
    def page(self) -> str:
        """What was painted last, as text."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.said.rpartition("\x1b[H")[2])

    def shows(self, text: str) -> None:
        eventually(lambda: text in self.page, message=f"{text!r} is on the page")

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def ends(self) -> int:
        """Wait for its end; its exit code."""
        return eventually(
            lambda: self.said is not None and [code] if (code := self.process.poll()) is not None else []
        )[0]

    @property
    def is_restored(self) -> bool:
        return termios.tcgetattr(self._theirs) == self.before and LEAVES in self.said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self._theirs)


@contextmanager
def top(warren: Warren, *arguments: str, **environ: str) -> Iterator[Terminal]:
    clean = {name: value for name, value in warren.environ.items() if name != "TERM"}
    terminal = Terminal({**clean, **environ}, "top", *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


def test_one_page_for_a_pipe_has_everything_and_no_colours(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with worker_and_producer(broker, namespace, tmp_path, name="alpha") as (_, producer):
        handle = producer.enqueue(jobs.record, str(tmp_path / "log"), 1, until=gate.path)
        text = eventually(lambda: page if handle.id in (page := warren.ok("top", "--once")) else "")
        assert "\x1b" not in text
        assert f"namespace {namespace}" in text
        assert "dead letters 0" in text
        (line,) = [line for line in text.splitlines() if handle.id in line]
        assert "tests.faults.jobs:record" in line
        assert "alpha/" in line
        assert warren.ok("top").splitlines()[1:2] == text.splitlines()[1:2], "a pipe is not painted on for ever"
        told = warren.json("top")
        assert [queue["queue"] for queue in told["queues"]] == ["default"]
        assert told["workers"][0]["running"] == 1
        gate.open()


def test_without_the_management_api_it_tells_less_and_says_so(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    with worker_and_producer(broker, namespace, tmp_path, name="alpha", processes=2):
        told = eventually(lambda: told if (told := warren.json("top", environ=NO_API))["workers"] else {})
        (queue,) = told["queues"]
        assert (queue["queue"], queue["ready"], queue["unacked"], queue["in_rate"]) == ("default", 0, None, None)
        assert (told["dead"], told["delayed"]) == (0, None)
        assert "http://127.0.0.1:1" in told["notes"][0]
        text = warren.ok("top", "--once", environ=NO_API)
        assert "only ready jobs and consumers" in text


def test_a_namespace_nobody_used_is_an_empty_page(warren: Warren) -> None:
    text = warren.ok("top", "--once")
    assert "no worker said anything" in text
    assert "nothing of this namespace" in text


def test_without_a_broker_one_page_is_an_error(alone: Warren) -> None:
    done = alone("top", "--once")
    assert done.returncode == 1
    assert "no broker could be reached" in done.stderr


def test_the_page_follows_what_happens_and_q_gives_the_terminal_back(
    warren: Warren, broker: Broker, namespace: str, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with (
        worker_and_producer(broker, namespace, tmp_path, name="alpha") as (worker, producer),
        top(warren) as terminal,
    ):
        terminal.shows("alpha")
        assert ENTERS in terminal.said
        terminal.shows("no job is running")
        handle = producer.enqueue(jobs.record, str(tmp_path / "log"), 1, until=gate.path)
        terminal.shows(handle.id)
        gate.open()
        terminal.shows("no job is running")
        worker.terminate()
        terminal.shows("stopped")
        terminal.press("q")
        assert terminal.ends() == 0
        assert terminal.is_restored


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back_too(warren: Warren, number: int) -> None:
    with top(warren) as terminal:
        terminal.shows("no worker said anything")
        terminal.process.send_signal(number)
        assert terminal.ends() == 0
        assert terminal.is_restored


def test_ctrl_c_leaves_and_ctrl_z_does_nothing(warren: Warren) -> None:
    with top(warren) as terminal:
        terminal.shows("no worker said anything")
        terminal.press("\x1a\x03")
        assert terminal.ends() == 0
        assert terminal.is_restored


def test_a_terminal_that_changes_its_size_gets_a_page_of_the_new_one(warren: Warren) -> None:
    with top(warren, **NO_API) as terminal:
        terminal.shows("only ready jobs")
        terminal.resize(40, 10)
        terminal.process.send_signal(signal.SIGWINCH)

        def fits() -> bool:
            page = terminal.page.replace("\r", "")
            lines = page.split("\n")
            return "q leaves" in page and max(map(len, lines)) <= 40 and len(lines) <= 10

        try:
            eventually(fits)
        except AssertionError:
            print(terminal.said[-4000:])
            raise


def test_while_the_broker_is_away_it_says_so_and_goes_on_trying(alone: Warren) -> None:
    with top(alone) as terminal:
        terminal.shows("trying again")
        terminal.press("q")
        assert terminal.ends() == 0
        assert terminal.is_restored


def test_a_terminal_that_cannot_be_painted_on_gets_one_page(warren: Warren) -> None:
    with top(warren, TERM="dumb") as terminal:
        assert terminal.ends() == 0
        assert "no worker said anything" in terminal.said
        assert "\x1b" not in terminal.said
