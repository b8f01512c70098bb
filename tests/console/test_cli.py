"""The executable as a whole: help, version, errors, exit codes, the options that every command takes."""

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.console.executable import Warren
from tests.console.warm import ROOT
from tests.support import eventually

from warren.console.cli import COMMANDS, run
from warren.console.invocation import Command, Group


def test_help_lists_every_command(alone: Warren) -> None:
    text = alone.ok("--help")
    for name, what in COMMANDS.items():
        assert name in text
        assert what in text


def test_help_of_the_group_imports_no_command_and_no_library() -> None:
    script = (
        "import sys; from warren.console.cli import run; run(['--help']); "
        "heavy = {'pika', 'rich', 'msgspec', 'asyncio', 'warren.worker', 'warren.console.commands.dead'}; "
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_help_is_there_under_its_name(name: str) -> None:
    command = importlib.import_module(f"warren.console.commands.{name}").command
    assert command.name == name
    assert isinstance(command, Command | Group)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_takes_the_options_of_all(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--url", "--namespace", "--management-url", "--json", "--debug"))


def test_version_is_one_line(alone: Warren) -> None:
    assert alone.ok("--version").startswith("warren ")


def test_without_a_command_it_shows_the_help(alone: Warren) -> None:
    done = alone()
    assert done.returncode != 0
    assert "Commands:" in done.stdout + done.stderr


def test_options_of_all_count_before_and_after_the_command(alone: Warren) -> None:
    before = json.loads(alone.ok("--namespace", "here", "--json", "topology", "show"))
    after = json.loads(alone.ok("topology", "show", "--namespace", "here", "--json"))
    assert before == after
    assert before["items"][0]["name"] == "here.jobs"


def test_an_unknown_option_is_a_usage_error_with_a_suggestion(alone: Warren) -> None:
    done = alone("queues", "--namspace", "x")
    assert done.returncode == 2
    assert "--namespace" in done.stderr
    assert "warren queues --help" in done.stderr


def test_an_unknown_command_is_a_usage_error(alone: Warren) -> None:
    assert alone("frobnicate").returncode == 2


def test_a_usage_error_is_a_document_with_json(alone: Warren) -> None:
    document = alone.json("result", code=2)
    assert set(document) == {"error", "kind"}


def test_an_unknown_setting_is_told_with_a_suggestion(alone: Warren) -> None:
    done = alone("queues", "x", environ={"WARREN_NAMSPACE": "x"})
    assert done.returncode == 2
    assert "did you mean 'namespace'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_wrong_settings_are_in_the_document(alone: Warren) -> None:
    environ = {"WARREN_PROCESSES": "many", "WARREN_LOG_LEVEL": "loud"}
    document = alone.json("queues", "x", code=2, environ=environ)
    assert document["kind"] == "InvalidSettings"
    assert len(document["problems"]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("queues", "default"),
        ("dead", "list"),
        ("dead", "show", "x"),
        ("dead", "replay", "--all"),
        ("dead", "drop", "x"),
        ("topology", "check"),
        ("topology", "apply"),
        ("enqueue", "m:t"),
        ("result", "x"),
        ("map", "m:t", "1"),
    ],
    ids=" ".join,
)
def test_without_a_broker_a_command_says_so_and_fails(alone: Warren, arguments: tuple[str, ...]) -> None:
    done = alone(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "127.0.0.1:1" in done.stderr
    assert "is RabbitMQ running there?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_broker_the_document_names_the_error(alone: Warren) -> None:
    document = alone.json("dead", "list", code=1)
    assert document["kind"] == "BrokerUnavailable"
    assert "guest:guest" not in document["error"]


def test_debug_shows_the_traceback(alone: Warren) -> None:
    assert "Traceback" in alone("dead", "list", "--debug").stderr


def test_a_bug_is_called_one_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("warren.console.cli.cli.main", broken)
    assert run(["queues"]) == 1
    told = capsys.readouterr().err
    assert "bug in Warren" in told
    assert "Traceback" not in told


def test_whoever_reads_us_may_have_enough(alone: Warren) -> None:
    command = f"{sys.executable} -m warren topology show --json | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        env=alone.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.broker
def test_an_interrupt_ends_a_waiting_command_with_130(warren: Warren, tmp_path: Path) -> None:
    job = warren.ok("enqueue", "m:nobody_runs_it").strip()
    log = tmp_path / "log"
    with warren.started("result", job, "--wait", "60", "--json", log=log) as process:
        eventually(lambda: psutil.Process(process.pid).net_connections(), message="it is connected")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stdout is not None
        assert json.load(process.stdout) == {"error": "interrupted", "kind": "KeyboardInterrupt"}
    assert "Traceback" not in log.read_text()
