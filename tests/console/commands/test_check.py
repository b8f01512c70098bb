"""`warren check`: every problem told, nothing started, nothing changed."""

from pathlib import Path

import pytest
from tests.console.commands.test_topology import declare
from tests.console.executable import JOBS, Warren
from tests.support import Broker, Management


@pytest.mark.broker
def test_a_fresh_namespace_has_warnings_and_no_errors_and_stays_fresh(
    warren: Warren, broker: Broker, namespace: str
) -> None:
    document = warren.json("check", JOBS)
    assert document["ok"] is True
    said = {(one["level"], one["what"]) for one in document["findings"]}
    assert ("ok", "broker") in said
    assert ("ok", f"module {JOBS}") in said
    assert ("warning", "topology") in said
    management = Management(broker)
    assert management.names("queues", namespace) == []
    management.close()
    text = warren.ok("check", JOBS)
    assert "RabbitMQ" in text
    assert "0 errors" in text


@pytest.mark.broker
def test_settings_are_told_with_their_origin_and_without_the_password(warren: Warren, namespace: str) -> None:
    settings = warren.json("check", "--url", warren.environ["WARREN_URL"])["settings"]
    assert settings["namespace"] == {"value": namespace, "origin": "WARREN_NAMESPACE"}
    assert settings["url"]["origin"] == "option"
    assert settings["heartbeat"]["origin"] == "default"
    assert "guest:guest" not in str(settings)
    assert "WARREN_NAMESPACE" in warren.ok("check")


@pytest.mark.broker
def test_a_mismatch_is_an_error(warren: Warren, broker: Broker, namespace: str) -> None:
    declare(broker.url, f"{namespace}.queue.default", **{"x-queue-type": "quorum"})
    done = warren("check")
    assert done.returncode == 1
    assert "Warren wants" in done.stdout


@pytest.mark.broker
def test_what_is_missing_is_an_error_where_nobody_declares(warren: Warren) -> None:
    document = warren.json("check", code=1, environ={"WARREN_DECLARE": "false"})
    assert any("topology apply" in one["said"] for one in document["findings"] if one["level"] == "error")


def test_a_broker_that_is_not_there_is_an_error(alone: Warren) -> None:
    document = alone.json("check", JOBS, code=1)
    assert document["ok"] is False
    assert [one["what"] for one in document["findings"] if one["level"] == "error"] == ["broker"]


def test_every_wrong_setting_is_told_together_with_what_is_wrong_in_modules(alone: Warren) -> None:
    environ = {"WARREN_NAMSPACE": "x", "WARREN_PROCESSES": "many"}
    document = alone.json("check", "no.such.module", code=1, environ=environ)
    errors = [one["said"] for one in document["findings"] if one["level"] == "error"]
    assert len(errors) == 3
    assert any("did you mean 'namespace'" in said for said in errors)


def test_settings_come_from_a_file_too(alone: Warren, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('heartbeat = 7\nqueues = ["a", "b"]\n')
    settings = alone.json("check", code=1, environ={"WARREN_CONFIG": str(file)})["settings"]
    assert settings["heartbeat"] == {"value": 7, "origin": str(file)}
    assert settings["queues"]["value"] == ["a", "b"]
