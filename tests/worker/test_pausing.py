"""A worker hears that queues are paused: it tells what changes for it, and says old pauses again."""

import asyncio
from typing import Any, cast

from tests.worker.test_settle import FakeOutlet, scenario

from warren.control import PauseQueue, ResumeQueue, command_of
from warren.events import Event, Events, QueuePaused, QueueResumed
from warren.topology import Names
from warren.worker.control import Control
from warren.worker.pausing import RENEW_SECONDS, Pausing


class Scene:
    """Pausing for the queues `a` and `b`, and what follows from what is said."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changes = 0
        self.say: dict[type, Any] = {}
        self.pausing = Pausing(("a", "b"), Events(self.events.append))
        self.pausing.listen(cast("Control", self), self._changed)

    def on(self, kind: type, handler: Any) -> None:
        self.say[kind] = handler

    def _changed(self) -> None:
        self.changes += 1

    def hear(self, command: PauseQueue | ResumeQueue) -> None:
        assert self.say[type(command)](command) is None, "nobody waits for an answer"


def test_what_changes_is_told_once() -> None:
    scene = Scene()
    for command in (PauseQueue("a", 1.0), PauseQueue("a", 1.0), PauseQueue("a", 2.0)):
        scene.hear(command)
    assert (scene.events, scene.changes) == ([QueuePaused("a")], 1)
    assert scene.pausing.is_paused("a")
    assert not scene.pausing.is_paused("b")
    scene.hear(ResumeQueue("a", 3.0))
    scene.hear(PauseQueue("a", 2.0))  # read again after a reconnect
    assert (scene.events[1:], scene.changes) == ([QueueResumed("a")], 2)
    assert not scene.pausing.is_paused("a")


def test_other_workers_queues_are_none_of_its_business() -> None:
    scene = Scene()
    scene.hear(PauseQueue("c", 1.0))
    assert (scene.events, scene.changes) == ([], 0)


@scenario
async def test_a_pause_that_is_old_is_said_again_and_one_that_is_not_is_not() -> None:
    scene, outlet = Scene(), FakeOutlet()
    now = 1e12
    scene.hear(PauseQueue("a", 1.0))
    scene.hear(PauseQueue("elsewhere", 2.0))
    scene.hear(PauseQueue("b", now))  # a clock that is fast
    await scene.pausing.renew(cast("Any", outlet), Names("t"))
    assert [command_of(publish.message) for publish in outlet.written] == [
        PauseQueue("a", 1.0),
        PauseQueue("elsewhere", 2.0),
    ]
    assert {(publish.exchange, publish.routing_key) for publish in outlet.written} == {("t.control", "kept.pause")}
    assert RENEW_SECONDS < 400 * 86_400


@scenario
async def test_a_pause_that_cannot_be_said_again_now_disturbs_nothing() -> None:
    class Broken(FakeOutlet):
        async def send(self, publish: Any) -> "asyncio.Future[None]":
            raise TimeoutError

    scene = Scene()
    scene.hear(PauseQueue("a", 1.0))
    await scene.pausing.renew(cast("Any", Broken()), Names("t"))
