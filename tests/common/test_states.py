"""The table of states is closed, and the documentation draws the same one."""

import re
from pathlib import Path

import pytest

from warren.states import FINAL, TRANSITIONS, IllegalTransition, JobState, advance

PAGE = Path(__file__).parents[2] / "docs" / "job-lifecycle.md"
STEPS = [(state, event, target) for state, events in TRANSITIONS.items() for event, target in events.items()]


def test_every_state_is_in_the_table_and_every_target_is_a_state() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {target for _, _, target in STEPS} <= set(JobState)


def test_only_a_dead_letter_leaves_a_final_state_and_only_by_replay() -> None:
    assert [(state, event) for state, event, _ in STEPS if state in FINAL] == [(JobState.DEAD, "replay")]
    assert {JobState.DONE, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED} == FINAL


def test_every_state_can_be_reached_from_the_queue() -> None:
    reached, ahead = {JobState.QUEUED}, [JobState.QUEUED]
    while ahead:
        for target in set(TRANSITIONS[ahead.pop()].values()) - reached:
            reached.add(target)
            ahead.append(target)
    assert reached == set(JobState)


def test_every_state_that_is_not_final_can_end() -> None:
    ending = set(FINAL)
    for _ in JobState:
        ending |= {state for state, _, target in STEPS if target in ending}
    assert ending == set(JobState)


@pytest.mark.parametrize(("state", "event", "target"), STEPS)
def test_a_step_of_the_table_is_taken(state: JobState, event: str, target: JobState) -> None:
    assert advance(state, event) is target


def test_an_illegal_step_names_the_state_the_event_and_what_would_be_legal() -> None:
    with pytest.raises(IllegalTransition) as illegal:
        advance(JobState.DEAD, "start")
    assert str(illegal.value) == "a job that is dead cannot take the event 'start' (only: replay)"
    with pytest.raises(IllegalTransition, match="only: nothing"):
        advance(JobState.DONE, "done")


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[JobState.DONE] = {}  # type: ignore[index]


def test_the_diagram_in_the_documentation_is_the_table() -> None:
    diagram = PAGE.read_text().partition("```mermaid")[2].partition("```")[0]
    drawn = re.findall(r"^\s*(\w+) --> (\w+): (.+?)\s*$", diagram, re.MULTILINE)
    assert sorted(drawn) == sorted((state, target, event) for state, event, target in STEPS)
    ends = set(re.findall(r"^\s*(\w+) --> \[\*\]$", diagram, re.MULTILINE))
    assert ends == FINAL - {JobState.DEAD}


def test_the_documentation_tells_every_state_and_every_step() -> None:
    text = PAGE.read_text()
    assert not [state for state in JobState if f"| `{state}` |" not in text]
    assert not [event for _, event, _ in STEPS if f"**{event}**" not in text and event != "due"]
