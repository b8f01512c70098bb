"""Which of the jobs that a process ran is charged with its death: pure."""

from collections.abc import Collection, Iterator

import msgspec

from warren.outcome import Crashed
from warren.worker.assignment import Assignment

STOPPING = "the worker is stopping"
NURSERY_DIED = "the pool's nursery died"
WIRE_LOST = "the worker cannot hear it any more"
DOES_NOT_ANSWER = "it did not answer while it had nothing to do"
DOES_NOT_END = "it did not end when it was told to"
NEIGHBOUR = "another job ended its process"
NOBODY_KNOWN = "one of several jobs ended their process, and which of them is not known"
CANCELLED = "it was cancelled and did not end"
"""Why a process is killed that runs on with a cancelled job; that is no crash of the job's, and its neighbours' neither."""
BLOCKS = "it kept everything else in its process from going on"
_OURS = frozenset({STOPPING, NURSERY_DIED, WIRE_LOST, DOES_NOT_ANSWER, DOES_NOT_END, NEIGHBOUR, NOBODY_KNOWN})


def is_ours(crash: Crashed) -> bool:
    """Tell whether a process died of the worker's stopping, a broken pool or another job, and not of the job that hears of it."""
    return crash.killed_for in _OURS


def charges(
    crash: Crashed, held: Collection[Assignment], culprit: Assignment | None, marked: int
) -> Iterator[tuple[Assignment, Crashed]]:
    """Return what each job is told that its process was running.

    Args:
        crash: how it died.
        held: what it ran: at most one plain job, any number of coroutine jobs.
        culprit: for whom it was killed by us, if for one of them.
        marked: the number of the coroutine job whose step was running; 0 for none.
    """
    if crash.killed_for == DOES_NOT_ANSWER and (found := _marked(held, marked)) is not None:
        culprit, crash = found, msgspec.structs.replace(crash, killed_for=BLOCKS)
    guilty: Collection[Assignment] = [culprit] if culprit is not None else _suspects(held, marked)
    for assignment in held:
        if is_ours(crash) or assignment in guilty:
            yield assignment, crash
        else:
            yield assignment, msgspec.structs.replace(crash, killed_for=NEIGHBOUR if guilty else NOBODY_KNOWN)


def is_suspicious(crash: Crashed) -> bool:
    """Tell whether the process may have died of the job that hears of it all the same: then the broker counts that it came back."""
    return crash.killed_for in {NOBODY_KNOWN, WIRE_LOST, DOES_NOT_ANSWER}


def _marked(held: Collection[Assignment], marked: int) -> Assignment | None:
    return next((each for each in held if each.in_loop and each.number == marked), None)


def _suspects(held: Collection[Assignment], marked: int) -> list[Assignment]:
    """A plain job may have been running at any moment; a coroutine job only in its own steps, unless it was alone."""
    if len(held) == 1:
        return list(held)
    return [each for each in held if not each.in_loop or each is _marked(held, marked)]
