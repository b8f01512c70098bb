"""Every event is one line; JSON for machines, filtered by level."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog
from tests.common.happenings import EVENTS

from warren import events, logs
from warren.events import Event
from warren.logs import LogSubscriber

NOISY = ("pika", "aio_pika", "aiormq")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in NOISY}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_one_line_of_json(event: Event, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    LogSubscriber()(event)
    (line,) = lines(capsys)
    assert line["event"]
    assert line["level"] in {"debug", "info", "warning", "error"}
    assert line["timestamp"].endswith("Z")
    told = {item.name: getattr(event, item.name) for item in msgspec.structs.fields(event)}
    for name, value in told.items():
        if name in {"replays", "has_result"}:
            assert name not in line  # for history
        elif value not in ("", None):
            assert line[name] == (list(value) if isinstance(value, tuple) else value)


def test_what_happened_to_the_broker_and_to_attempts_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    log = LogSubscriber()
    job = ("id", "m:f", "q", 1)
    for event in (
        events.BrokerConnected("b", again=False),
        events.BrokerConnected("b", again=True),
        events.JobEnded(*job, "done", 1.0),
        events.JobEnded(*job, "cancelled", 1.0, "enough"),
        events.JobEnded(*job, "retry", 1.0, "no", 5.0),
        events.JobEnded(*job, "failed", 1.0, "no"),
        events.ProcessExited(1, 0, "stopped", ""),
        events.ProcessExited(1, 0, "crashed", "SIGKILL"),
    ):
        log(event)
    assert [(line["level"], line["event"]) for line in lines(capsys)] == [
        ("info", "broker connected"),
        ("info", "broker connected again"),
        ("debug", "job done"),
        ("info", "job cancelled"),
        ("warning", "job will be retried"),
        ("warning", "job failed"),
        ("debug", "pool process ended"),
        ("error", "pool process ended"),
    ]


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_filters(level: str, shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level, "json")
    log = LogSubscriber()
    log(events.Published(0.1))
    log(events.WorkerStopped(1, 0))
    log(events.PublishDelayed("id", "no"))
    log(events.JobBuried("id", "m:f", "q", "failed", "no"))
    assert len(lines(capsys)) == shown


def test_the_standard_librarys_logs_are_lines_of_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logging.getLogger("shop").warning("%d left", 3)
    logging.getLogger("shop").debug("hidden")
    logging.getLogger("shop").error("broken", exc_info=ValueError("no"))
    first, second = lines(capsys)
    assert (first["event"], first["level"], first["logger"]) == ("3 left", "warning", "shop")
    assert "ValueError: no" in second["exception"]


def test_the_client_libraries_say_nothing_of_what_we_say_ourselves(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    for name in NOISY:
        logging.getLogger(name).error("lost")
        logging.getLogger(f"{name}.connection").error("lost")
    assert lines(capsys) == []


def test_the_console_form_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console")
    LogSubscriber()(events.WorkerStopped(10, 1))
    told = capsys.readouterr().err
    assert "worker stopped" in told
    assert "done=10" in told
    assert not told.startswith("{")
    assert "\x1b" not in told


def test_auto_is_json_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "auto")
    LogSubscriber()(events.WorkerStopped(10, 1))
    assert lines(capsys)[0]["done"] == 10
