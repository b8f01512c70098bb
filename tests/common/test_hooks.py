"""Hooks are marked, not run; what cannot be run is refused where it is written."""

from collections.abc import AsyncIterator

import pytest

from warren.errors import InvalidHook
from warren.hooks import Hook, process_init, warren_init

RUN: list[str] = []


def opens(name: str = "a", *more: str, **other: str) -> str:
    RUN.append(name)
    return name


def test_marking_runs_nothing_and_calling_runs_it_here() -> None:
    RUN.clear()
    hook = process_init(opens)
    assert (RUN, hook.kind, hook.name) == ([], "process_init", f"{__name__}:opens")
    assert hook() == "a"
    assert RUN == ["a"]


def test_each_decorator_marks_for_its_own_moment() -> None:
    assert warren_init(opens) == Hook("warren_init", opens)
    assert warren_init(opens) != process_init(opens)


async def connects() -> None: ...


async def connects_and_closes() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("function", [connects, connects_and_closes])
def test_a_coroutine_function_is_refused(function: object) -> None:
    with pytest.raises(InvalidHook, match=r"@process_init on 'tests\..*:connects.*': it is a coroutine function"):
        process_init(function)  # type: ignore[arg-type]


def test_a_function_that_needs_arguments_is_refused() -> None:
    def needs(url: str, *, user: str, port: int = 1) -> None: ...

    with pytest.raises(InvalidHook, match=r"it needs arguments \(url, user\)"):
        warren_init(needs)  # type: ignore[arg-type]
