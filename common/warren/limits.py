"""Limits of one call that travel with its job: what `task.options(timeout=..., retry=...)` changed, as plain numbers in a header.

What a task declares stays with the code that runs it; only what one call says differently is carried.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from warren.errors import InvalidTask
from warren.options import Options, in_seconds
from warren.retry import Retry

CARRIED = frozenset({"retry", "max_crashes", "timeout", "kill_after"})
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_NO_LIMIT = 0.0
"""How `timeout=None` is said for a task that declares one."""


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Numbers that replace a task's own; durations in seconds, 0 for no limit."""

    attempts: _Count | None = None
    wait: _Seconds | None = None
    stop: _Seconds | None = None
    max_crashes: _Count | None = None
    timeout: _Seconds | None = None
    kill_after: _Seconds | None = None


def of_changes(changes: Mapping[str, Any], task: str) -> Limits | None:
    """Return the limits that a call's changed options mean; None when nothing that is carried was changed.

    Raises:
        InvalidTask: a retry policy that is code (tenacity objects, exception types) cannot travel.
    """
    carried = {name: changes[name] for name in CARRIED if name in changes}
    if not carried:
        return None
    retry = carried.pop("retry", None)
    numbers: dict[str, Any] = {
        name: value if name == "max_crashes" else in_seconds(value) or _NO_LIMIT for name, value in carried.items()
    }
    return Limits(**numbers, **(_retry_numbers(retry, task) if retry is not None else {}))


def applied(limits: Limits | None, options: Options) -> Options:
    """Return a task's options with a call's limits in their place."""
    if limits is None:
        return options
    changes: dict[str, Any] = {}
    if limits.attempts is not None:
        changes["retry"] = Retry(attempts=limits.attempts, wait=limits.wait, stop=limits.stop)
    for name in ("timeout", "kill_after"):
        seconds = getattr(limits, name)
        if seconds is not None:
            changes[name] = seconds or None
    if limits.max_crashes is not None:
        changes["max_crashes"] = limits.max_crashes
    return replace(options, **changes)


def _retry_numbers(retry: Retry, task: str) -> dict[str, Any]:
    numbers = {"wait": retry.wait, "stop": retry.stop}
    code = [name for name, value in numbers.items() if value is not None and not isinstance(value, int | float)]
    code += ["retry"] if retry.retry is not None else []
    code += ["permanent"] if retry.permanent else []
    if code:
        raise InvalidTask(
            f"task {task!r}: a retry policy of one call travels as numbers, and {', '.join(code)} is code; "
            "declare it with @task(retry=...), where the worker finds it"
        )
    return {"attempts": retry.attempts, **numbers}
