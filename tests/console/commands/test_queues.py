"""`warren queues`: what waits where."""

import pytest
from tests.console.executable import Warren
from tests.support import eventually

pytestmark = pytest.mark.broker


def test_named_queues_are_looked_at_over_amqp(warren: Warren) -> None:
    for _ in range(3):
        warren.ok("enqueue", "m:t", "--queue", "images")
    document = warren.json("queues", "images", environ={"WARREN_MANAGEMENT_URL": "http://127.0.0.1:1"})
    assert document == {
        "queues": [{"queue": "images", "ready": 3, "unacked": None, "consumers": 0, "stuck": None, "paused": False}],
        "missing": [],
    }
    lines = warren.ok("queues", "images").splitlines()
    assert [line.split() for line in lines] == [["queue", "ready", "consumers"], ["images", "3", "0"]]


def test_a_queue_that_is_not_there_is_told_beside_the_others(warren: Warren) -> None:
    warren.ok("enqueue", "m:t")
    done = warren("queues", "default", "nope")
    assert done.returncode == 1
    assert "default" in done.stdout
    assert "there is no queue 'nope'" in done.stderr
    assert warren.json("queues", "nope", code=1)["missing"] == ["nope"]


def test_without_names_the_whole_namespace_is_listed(warren: Warren) -> None:
    warren.ok("enqueue", "m:t", "--queue", "images")
    warren.ok("enqueue", "m:t", "--queue", "mail")
    warren.ok("enqueue", "m:t", "--delay", "3600")

    def counted() -> bool:  # the broker's statistics are up to five seconds late
        document = warren.json("queues")
        waiting = {queue["queue"]: queue["ready"] for queue in document["queues"]}
        return waiting == {"images": 1, "mail": 1, "default": 0} and document["delayed"] == 1

    eventually(counted)
    text = warren.ok("queues")
    assert "images" in text
    assert "delayed       1" in text
    assert "dead letters  0" in text


def test_without_the_management_api_it_says_what_to_do_instead(warren: Warren) -> None:
    done = warren("queues", "--management-url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "http://127.0.0.1:1" in done.stderr
    assert "warren queues default" in done.stderr
    assert "--management-url" in done.stderr


def test_a_namespace_nobody_used_is_told(warren: Warren) -> None:
    document = warren.json("queues", code=1)
    assert document["kind"] == "NotFound"
    assert "topology apply" in document["error"]


def test_a_queue_is_paused_and_resumed_and_the_list_says_so(warren: Warren) -> None:
    warren.ok("enqueue", "m:t", "--queue", "images")
    assert warren.ok("queues", "pause", "images", "later") == "images  paused\nlater  paused\n"
    assert warren.json("queues", "pause", "images") == [{"queue": "images", "paused": True, "changed": False}]
    assert warren.ok("queues", "pause", "images") == "images  it was paused already\n"
    assert warren.ok("queues", "images").splitlines()[1].split() == ["images", "1", "0", "paused"]
    eventually(lambda: [one["paused"] for one in warren.json("queues")["queues"]] == [True])
    assert warren.ok("queues", "list").splitlines()[1].split()[-1] == "paused"
    assert warren.ok("queues", "resume", "images") == "images  resumed\n"
    assert warren.ok("queues", "resume", "images") == "images  it was not paused\n"
    assert warren.json("queues", "list", "images")["queues"][0]["paused"] is False


def test_what_cannot_be_a_queue_is_not_paused(warren: Warren) -> None:
    done = warren("queues", "pause", "a b")
    assert done.returncode == 2
    assert "not a usable name" in done.stderr
