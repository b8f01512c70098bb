"""`warren recorder`: starts, says that it is ready, stops when asked."""

import json
import signal
from pathlib import Path

import pytest
from tests.console.executable import Warren


@pytest.mark.broker
def test_it_says_when_it_is_ready_and_stops_in_order(warren: Warren, tmp_path: Path) -> None:
    log = tmp_path / "log"
    store = f"sqlite:///{tmp_path / 'history.db'}"
    with warren.started("recorder", "--store", store, "--http-port", "0", "--name", "r1", "--json", log=log) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["kind"], ready["name"]) == ("recorder", "r1")
        assert ready["http"].rpartition(":")[2] != "0"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read() == ""


def test_what_cannot_be_meant_is_one_line(warren: Warren) -> None:
    for options, code, said in (
        (("--backlog", "much"), 2, "'much' is no size"),
        (("--backlog", "1MB"), 2, "'1MB' is less than 2MB"),
        (("--store", "mysql://h/x", "--http-port", "-1"), 2, "take sqlite:///FILE or postgresql://"),
        (("--store", "sqlite:////nowhere/at/all.db", "--http-port", "-1"), 1, "cannot be used"),
    ):
        done = warren("recorder", *options)
        assert done.returncode == code, done.stderr
        last = done.stderr.strip().splitlines()[-1] if code == 2 else done.stderr
        assert said in last
        assert "Traceback" not in done.stderr
