"""Events go to every subscriber, in order."""

from tests.common.happenings import EVENTS, KINDS

from warren.events import Event, Events


def test_there_is_an_example_of_every_event() -> None:
    assert {type(event) for event in EVENTS} == set(KINDS)


def test_every_subscriber_gets_every_event_in_order() -> None:
    first: list[Event] = []
    second: list[Event] = []
    events = Events(first.append, second.append)
    for event in EVENTS:
        events.emit(event)
    assert first == second == EVENTS


def test_nobody_needs_to_listen() -> None:
    Events().emit(EVENTS[0])
