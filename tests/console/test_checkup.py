"""What `warren check` finds, without a broker."""

from pathlib import Path
from typing import Any

import pytest

from warren.console import checkup
from warren.console.checkup import BrokerFacts, Level
from warren.settings import Settings
from warren.task import Task, task


@task(kill_after=60)
def limited() -> None: ...


@task(timeout=7200)
def long() -> None: ...


@task
def unlimited() -> None: ...


@task(kill_after=60, priority=9)
def urgent() -> None: ...


@task(kill_after=60, queue="elsewhere")
def elsewhere() -> None: ...


def said(*tasks: Task[Any, Any], facts: BrokerFacts | None = None) -> list[tuple[Level, str]]:
    found = checkup.of_tasks(tasks, Settings(), facts or BrokerFacts())
    return [(finding.level, f"{finding.what}: {finding.said}") for finding in found]


def test_a_task_with_a_time_limit_on_a_served_queue_is_fine() -> None:
    assert said(limited) == []


def test_tasks_without_a_time_limit_are_one_warning() -> None:
    ((level, text),) = said(unlimited, limited, urgent)
    assert level is Level.WARNING
    assert unlimited.name in text
    assert limited.name not in text
    assert "1,800 s" in text
    assert "kill_after" in text


def test_a_limit_beyond_the_brokers_default_is_a_warning_because_it_may_have_been_raised() -> None:
    ((level, text),) = said(long)
    assert level is Level.WARNING
    assert "7,200 s" in text


def test_a_limit_beyond_what_the_broker_is_known_to_wait_is_an_error() -> None:
    facts = BrokerFacts((4, 3, 0), {"default": 3600.0})
    ((level, text),) = said(long, facts=facts)
    assert level is Level.ERROR
    assert "3,600 s" in text
    assert "policy" in text


def test_a_limit_within_what_the_broker_waits_is_fine() -> None:
    assert said(long, facts=BrokerFacts((4, 3, 0), {"default": 86400.0})) == []


def test_a_broker_without_the_policy_is_told_by_its_configuration() -> None:
    ((_, text),) = said(long, facts=BrokerFacts((3, 10, 8)))
    assert "rabbitmq.conf" in text


@pytest.mark.parametrize(
    ("version", "level", "expected"),
    [
        ((3, 10, 8), Level.ERROR, "has no effect: RabbitMQ 3.10.8 keeps no order by priority"),
        ((4, 0, 5), Level.WARNING, "two levels"),
        ((4, 3, 6), None, ""),
        (None, None, ""),
    ],
)
def test_a_tasks_priority_is_refused_or_qualified_where_the_broker_cannot(
    version: tuple[int, ...] | None, level: Level | None, expected: str
) -> None:
    found = said(urgent, facts=BrokerFacts(version))
    assert [found_level for found_level, _ in found] == ([level] if level else [])
    assert all(expected in text for _, text in found)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 10, 8), ["RabbitMQ 3.10.8 keeps no order by priority"]),
        ((4, 2, 1), ["RabbitMQ 4.2.1 knows two levels"]),
        ((4, 3, 6), ["RabbitMQ 4.3.6 hands out the jobs of a queue strictly by priority"]),
        (None, []),
    ],
)
def test_what_a_priority_means_to_this_broker_is_told_by_name(
    version: tuple[int, ...] | None, expected: list[str]
) -> None:
    found = list(checkup.of_priorities(BrokerFacts(version)))
    assert len(found) == len(expected)
    assert all(finding.said.startswith(text) for finding, text in zip(found, expected, strict=True))


def test_a_queue_nobody_serves_here_is_a_warning() -> None:
    ((level, text),) = said(elsewhere)
    assert level is Level.WARNING
    assert "'elsewhere'" in text


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("amqp://guest:guest@127.0.0.1/", False),
        ("amqp://localhost", False),
        ("amqp://guest:x@rabbit.example.com/", True),
        ("amqp://rabbit.example.com/", True),
        ("amqp://app:x@rabbit.example.com/", False),
    ],
)
def test_the_user_guest_on_another_host_is_a_warning(url: str, warned: bool) -> None:
    assert bool(list(checkup.of_settings(Settings(url=url)))) is warned


def test_modules_are_imported_and_what_is_wrong_with_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    (tmp_path / "ck_good.py").write_text("from warren.task import task\nprint('loud')\n@task\ndef a(): ...\n")
    (tmp_path / "ck_twin.py").write_text("from warren.task import task\n@task(name='ck_good:a')\ndef b(): ...\n")
    (tmp_path / "ck_none.py").write_text("")
    (tmp_path / "ck_exits.py").write_text("import sys; sys.exit(3)")
    names = ["ck_good", "ck_twin", "ck_none", "ck_exits", "ck_absent"]
    tasks, findings = checkup.of_modules(names)
    assert [one.name for one in tasks] == ["ck_good:a"]
    assert [finding.level for finding in findings] == [Level.OK, *[Level.ERROR] * 4]
    told = [finding.said for finding in findings]
    assert "ck_good:a" in told[0]
    assert "second task" in told[1]
    assert "no task" in told[2]
    assert "SystemExit" in told[3]
    assert "ck_absent" in told[4]
    assert capsys.readouterr().out == ""
