"""The least rights: enough for what each user does, and no more."""

import re

import pytest

from warren.console.permissions import Rights, least
from warren.topology import DELAY_LEVELS, Names

NAMES = Names("my.app")
PRODUCER, WAITING, CANCELLING, STARTING, WORKER, SCHEDULER, RECORDER, OPERATOR, ADMINISTRATOR = least(NAMES)
DELAYS = [NAMES.delay(level) for level in range(DELAY_LEVELS)]
REPLY = NAMES.reply("abc")


def may(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


@pytest.mark.parametrize("rights", [PRODUCER, WAITING, CANCELLING, STARTING, WORKER, SCHEDULER, OPERATOR])
def test_everybody_publishes_jobs_and_delayed_jobs(rights: Rights) -> None:
    assert all(may(rights.write, name) for name in (NAMES.jobs, *DELAYS, NAMES.delays_ready))


def test_a_producer_reads_and_declares_nothing() -> None:
    assert not any(may(PRODUCER.read, name) for name in (NAMES.results, NAMES.queue("a"), NAMES.dead))
    assert not any(may(PRODUCER.configure, name) for name in (NAMES.jobs, REPLY))
    assert not any(may(PRODUCER.write, name) for name in (NAMES.results, NAMES.dead, "amq.default"))


def test_a_producer_that_waits_has_its_reply_queue_and_the_results() -> None:
    assert may(WAITING.configure, REPLY)
    assert may(WAITING.write, REPLY)
    assert may(WAITING.read, REPLY)
    assert may(WAITING.read, NAMES.results)
    assert not may(WAITING.read, NAMES.queue("a"))


@pytest.mark.parametrize("rights", [CANCELLING, STARTING, SCHEDULER, OPERATOR])
def test_whoever_cancels_speaks_on_the_control_exchange_and_hears_the_answers(rights: Rights) -> None:
    assert may(rights.write, NAMES.control)
    assert may(rights.read, NAMES.control)
    assert all(may(pattern, REPLY) for pattern in (rights.configure, rights.write, rights.read))


def test_a_producer_that_only_waits_commands_nobody() -> None:
    assert not any(may(pattern, NAMES.control) for pattern in (WAITING.configure, WAITING.write, WAITING.read))


def test_a_worker_hears_what_is_said_to_all_on_a_queue_of_its_own() -> None:
    own = NAMES.hears("abc")
    assert all(may(pattern, own) for pattern in (WORKER.configure, WORKER.write, WORKER.read))
    assert may(WORKER.read, NAMES.control)
    assert may(WORKER.write, NAMES.control)
    assert not may(WORKER.configure, NAMES.control)


def test_a_worker_reads_its_queues_and_writes_outcomes() -> None:
    assert may(WORKER.read, NAMES.queue("images"))
    assert not may(WORKER.read, NAMES.dead)
    assert all(may(WORKER.write, name) for name in (NAMES.results, NAMES.dead))
    assert not may(WORKER.configure, NAMES.queue("images"))


def test_whoever_starts_workflows_reads_none_of_what_moves_them() -> None:
    assert may(STARTING.write, NAMES.workflows)
    assert not may(STARTING.read, NAMES.workflows)
    assert not may(CANCELLING.write, NAMES.workflows)


def test_a_scheduler_moves_workflows_and_runs_no_job() -> None:
    assert may(SCHEDULER.read, NAMES.workflows)
    assert may(SCHEDULER.write, NAMES.results)
    assert not may(SCHEDULER.read, NAMES.queue("a"))
    assert not may(SCHEDULER.configure, NAMES.workflows)


def test_an_operator_reads_dead_letters_and_replays_them() -> None:
    assert may(OPERATOR.read, NAMES.dead)
    assert may(OPERATOR.write, NAMES.jobs)


def test_a_recorder_reads_what_it_records_and_publishes_its_mark_alone() -> None:
    assert may(RECORDER.configure, NAMES.history.stream)
    assert all(
        may(RECORDER.read, name)
        for name in (NAMES.history.stream, NAMES.history.copies, NAMES.results, NAMES.history.events)
    )
    assert may(RECORDER.write, NAMES.history.events)  # see `Recording`
    assert not any(may(RECORDER.write, name) for name in (NAMES.jobs, NAMES.results, NAMES.dead, NAMES.control))
    assert not may(RECORDER.read, NAMES.queue("images"))


def test_nobody_reaches_another_namespace() -> None:
    for rights in least(NAMES):
        for pattern in (rights.configure, rights.write, rights.read):
            assert not may(pattern, "my-app.jobs")
            assert not may(pattern, "other.my.app.jobs")
            assert not may(pattern, "amq.default")


def test_the_line_can_be_pasted_into_a_shell() -> None:
    assert PRODUCER.command("my vhost", "u") == (
        r"rabbitmqctl set_permissions -p 'my vhost' u '^$' '^my\.app\.(jobs|delay\.(\d\d|ready))$' '^$'"
    )
