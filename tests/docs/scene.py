"""Running a page: its Python blocks as scripts, its console lines as commands, in order, in one folder and one namespace.

Conventions of the pages:
- a Python block whose first line is `# NAME.py` is a file of that name; it is run as well;
- where a line `print(...)  # text` has a comment, what is printed must be that text;
- in a console block `$ ` begins a command, what follows is its output, and `…` there stands for anything;
- `warren worker`, `warren scheduler` and `warren up` run in the background until the page ends or a line `^C` comes.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tests.docs.documents import ROOT, Block
from tests.support import Broker, eventually

_SECONDS = 60
_FILE = re.compile(r"# ([\w/]+\.py)\n")
_SAID = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)
_BACKGROUND = re.compile(r"warren (worker|scheduler|up)\b(?!.*--help)")
_READY = re.compile(r'"event": "(worker )?ready"')

NOT_RUN = {
    "make": "runs these tests, or the demo, which CI runs by itself",
    "pip": "installs into the environment that the tests run in",
    "docker": "needs a Docker engine",
    "rabbitmqctl": "would change the broker for every other test",
}
"""Commands that are only parsed, and why."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block and what it shall print; `interrupt` for a line `^C`."""

    text: str
    output: str
    interrupt: bool = False


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block, or of a shell script without prompts."""
    if block.language != "console":
        return [Command(line, "") for line in _joined(block.text) if line and not line.startswith("#")]
    found: list[Command] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line == "^C":
            found.append(Command("^C", "", interrupt=True))
        elif line.startswith("$ "):
            text = line.removeprefix("$ ")
            while text.endswith("\\"):
                text += "\n" + next(lines)
            found.append(Command(text, ""))
        else:
            assert found, f"{block}: output without a command"
            found[-1] = replace(found[-1], output=f"{found[-1].output}{line}\n")
    return found


def not_run(command: Command) -> str | None:
    """Return why a command is only parsed, if it is."""
    words = shlex.split(command.text, comments=True)
    programs = [word for word in words if "=" not in word]
    return NOT_RUN.get(programs[0] if programs[0] != "sudo" else programs[1]) if programs else "a comment"


@dataclass
class Scene:
    """A folder, a broker and a namespace for one page."""

    folder: Path
    broker: Broker
    namespace: str
    running: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http_port = _free_ports(3)  # `warren up` takes the next two as well
        (self.folder / "bin").mkdir()
        shim = self.folder / "bin/warren"
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m warren "$@"\n')
        shim.chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        """What the commands of the page see: our broker, the page's own namespace, no waiting at the end."""
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        python_path = os.pathsep.join([str(self.folder), *(entry for entry in sys.path if entry), str(ROOT)])
        return os.environ | {
            "PATH": path,
            "PYTHONPATH": python_path,
            "WARREN_URL": self.broker.url,
            "WARREN_MANAGEMENT_URL": self.broker.management_url,
            "WARREN_NAMESPACE": self.namespace,
            "WARREN_HTTP_PORT": str(self.http_port),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "WARREN_PROCESSES": "2",
            "WARREN_GRACE_PERIOD": "2",
            "WARREN_LOG_FORMAT": "json",
        }

    def run(self, block: Block) -> None:
        """Run a block that can be run."""
        if block.language == "python":
            self._run_python(block)
        elif block.language in ("console", "bash", "sh"):
            for command in commands(block):
                self._run_command(block, command)

    def close(self) -> None:
        """End what runs in the background; it must go in peace."""
        problems = []
        while self.running:
            try:
                self._interrupt()
            except AssertionError as problem:  # the others must be ended all the same
                problems.append(str(problem))
        assert not problems, "\n".join(problems)

    def _run_python(self, block: Block) -> None:
        name = _FILE.match(block.text)
        file = self.folder / (name[1] if name else f"block_{block.line}.py")
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(block.text)
        done = self._do([sys.executable, str(file)])
        assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{done.stdout}"
        expected = _SAID.findall(block.text)
        if expected:
            _compare("\n".join(expected), done.stdout, str(block))

    def _run_command(self, block: Block, command: Command) -> None:
        if command.interrupt:
            self._interrupt()
            return
        text = self._adapted(command.text)
        parsed = self._do(["bash", "-n", "-c", text])
        assert parsed.returncode == 0, f"{block}: {command.text}\n{parsed.stdout}"
        if not_run(command):
            return
        if _BACKGROUND.search(command.text):
            self._start(text)
            return
        done = self._do(["bash", "-c", text])
        wrong = done.returncode != 0 and "echo $?" not in command.text
        assert not wrong, f"{block}: `{command.text}` ended with {done.returncode}:\n{done.stdout}"
        if command.output.strip():
            _compare(self._adapted(command.output), done.stdout, f"{block}: `{command.text}`")

    def _adapted(self, text: str) -> str:
        """The same text for our broker, namespace and port instead of the documented ones."""
        amqp, management = urlsplit(self.broker.url), urlsplit(self.broker.management_url)
        text = re.sub(r"\bwarren\.(jobs|results|dead|queue|delay|reply|workers)\b", rf"{self.namespace}.\1", text)
        text = text.replace("127.0.0.1:9464", f"127.0.0.1:{self.http_port}")
        text = text.replace("127.0.0.1:15672", management.netloc)
        text = text.replace("/exchanges/%2F/", f"/exchanges/{quote(unquote(amqp.path[1:]) or '/', safe='')}/")
        text = text.replace("amqp://guest:guest@127.0.0.1:5672/", self.broker.url)
        return text.replace("-u guest:guest", f"-u {amqp.username}:{amqp.password}")

    def _start(self, text: str) -> None:
        log = self.folder / f"background-{len(self.running)}.log"
        with log.open("wb") as sink:
            # Its own session: a Ctrl-C is sent to it as a terminal would, to the whole group.
            program = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self.running.append((program, log))
        daemons = 3 if "warren up" in text else 1

        def ready() -> bool:
            if program.poll() is not None:
                self.running.pop()
            assert program.returncode is None, f"`{text}` ended with {program.returncode}:\n{log.read_text()}"
            return len(_READY.findall(log.read_text())) >= daemons

        eventually(ready, timeout=30.0, message=f"`{text}` is ready")

    def _interrupt(self) -> None:
        program, log = self.running.pop()
        os.killpg(program.pid, signal.SIGINT)
        deadline = time.monotonic() + _SECONDS / 2
        while program.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        assert program.returncode == 0, f"ended with {program.returncode} after Ctrl-C:\n{log.read_text()[-4000:]}"

    def _do(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # in the order of a terminal
            text=True,
            timeout=_SECONDS,
            check=False,
        )


def _compare(expected: str, printed: str, where: str) -> None:
    lines = [re.sub(r" +", " ", line).strip() for line in expected.strip().splitlines()]
    pattern = r"\s*\n\s*".join(re.escape(line).replace("…", "[\\s\\S]*?") for line in lines)
    said = "\n".join(re.sub(r" +", " ", line).strip() for line in printed.splitlines()).strip()
    assert re.fullmatch(pattern, said), f"{where} should print\n{expected}\nand printed\n{printed}"


def _joined(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\\\n", " ").splitlines()]


def _free_ports(number: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        with ExitStack() as stack:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
            try:
                for port in range(first + 1, first + number):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
