"""Arguments are checked where they are given and rebuilt where they are used."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.common.strategies import json_values, texts

from warren.errors import InvalidArguments, InvalidTask
from warren.signature import AnySignature, Signature

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]  # the case under test


@dataclass
class Point:
    x: int
    y: int = 0


def everything(
    first: int, /, second: str, third: float = 1.5, *rest: int, key: bool, other: Point | None = None
) -> str:
    return f"{first}{second}{third}{rest}{key}{other}"


def free(*args: int, **kwargs: str) -> None: ...


def positional(a: int, /, **rest: str) -> None: ...


def plain(a, b=2):  # type: ignore[no-untyped-def]  # an application without annotations
    return a, b


def of(function: Any) -> Signature:
    return Signature.of("m:f", function)


def through(function: Any, *args: object, **kwargs: object) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments as a worker gets them."""
    signature = of(function)
    dumped = signature.dump(args, kwargs)
    return signature.load(dumped.args, dumped.kwargs)


def refusal(function: Any, *args: object, **kwargs: object) -> str:
    with pytest.raises(InvalidArguments) as refused:
        of(function).dump(args, kwargs)
    assert refused.value.task == "m:f"
    assert str(refused.value).endswith("nothing was sent")
    return refused.value.why


# --- what fits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, "a"), {"key": True}),
        ((1,), {"second": "a", "key": True}),
        ((1, "a", 2.5), {"key": False, "other": Point(1, 2)}),
        ((1, "a", 2.5, 3, 4, 5), {"key": False}),
        ((1, "a"), {"third": 3.5, "key": True, "other": None}),
    ],
)
def test_every_kind_of_parameter_is_carried_as_it_was_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert through(everything, *args, **kwargs) == (list(args), kwargs)
    assert everything(*args, **kwargs)


def test_defaults_do_not_travel() -> None:
    dumped = of(everything).dump((1, "a"), {"key": True})
    assert (len(dumped.args), set(dumped.kwargs)) == (2, {"key"})


def test_arguments_come_back_as_their_annotated_types() -> None:
    def task(when: datetime, where: list[Point]) -> None: ...

    moment = datetime(2024, 1, 1, tzinfo=UTC)
    assert through(task, moment, where=[Point(1)]) == ([moment], {"where": [Point(1)]})


def test_a_whole_number_is_a_float_where_one_is_wanted() -> None:
    def task(seconds: float) -> None: ...

    args, _ = through(task, 3)
    assert args == [3.0]
    assert isinstance(args[0], float)


@given(st.lists(st.integers(-(2**63), 2**63), max_size=5), st.dictionaries(texts, texts, max_size=4))
def test_any_number_of_arguments_is_carried(args: list[int], kwargs: dict[str, str]) -> None:
    assert through(free, *args, **kwargs) == (args, kwargs)


@given(json_values, json_values)
def test_without_annotations_any_json_is_carried(one: object, other: object) -> None:
    assert through(plain, one, b=other) == ([one], {"b": other})


def test_a_keyword_may_be_called_like_a_positional_parameter() -> None:
    assert through(positional, 1, a="x") == ([1], {"a": "x"})
    assert through(free, 1, args="x", kwargs="y") == ([1], {"args": "x", "kwargs": "y"})


def test_the_annotations_of_rest_parameters_count() -> None:
    assert "'args'" in refusal(free, 1, "x")
    assert "'kwargs'" in refusal(free, a=1)


def test_constraints_in_annotations_count() -> None:
    def task(percent: Annotated[int, msgspec.Meta(ge=0, le=100)]) -> None: ...

    assert through(task, 100) == ([100], {})
    assert "argument 'percent': Expected `int` <= 100" in refusal(task, 101)


def test_the_result_type_is_the_annotated_one() -> None:
    def task() -> list[Point]:
        return []

    def untyped():  # type: ignore[no-untyped-def]
        return []

    async def coroutine() -> int:
        return 1

    assert of(task).result == list[Point]
    assert of(untyped).result is Any
    assert of(coroutine).result is int


# --- what does not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "missing a required argument: 'first'"),
        ((1,), {"key": True}, "missing a required argument: 'second'"),
        ((1, "a"), {}, "missing a required"),
        ((1, "a"), {"key": True, "colour": 1}, "unexpected keyword argument 'colour'"),
        ((1, "a"), {"second": "b", "key": True}, "multiple values for argument 'second'"),
        ((), {"first": 1, "second": "a", "key": True}, "'first'"),
    ],
)
def test_a_call_that_python_would_refuse_is_refused(args: tuple[Any, ...], kwargs: dict[str, Any], told: str) -> None:
    assert told in refusal(everything, *args, **kwargs)


def test_too_many_arguments_are_refused() -> None:
    assert "too many positional arguments" in refusal(plain, 1, 2, 3)


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        (("1", "a"), {"key": True}, "argument 'first': Expected `int`, got `str`"),
        ((1, 2), {"key": True}, "argument 'second': Expected `str`, got `int`"),
        ((1, "a", 1.5, 2, None), {"key": True}, "argument 'rest': Expected `int`, got `null`"),
        ((1, "a"), {"key": 1}, "argument 'key': Expected `bool`, got `int`"),
        ((1, "a"), {"key": True, "other": {"y": 1}}, "argument 'other': Object missing required field `x`"),
        ((1, "a"), {"key": True, "other": Point("1")}, "argument 'other': Expected `int`, got `str` - at `$.x`"),  # type: ignore[arg-type]
        ((1, object()), {"key": True}, "argument 'second': builtins.object cannot be written as JSON"),
        ((1, "a", float("nan")), {"key": True}, "argument 'third': Expected `float`, got `null`"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(args: tuple[Any, ...], kwargs: dict[str, Any], told: str) -> None:
    assert told in refusal(everything, *args, **kwargs)


def test_a_worker_checks_again_what_others_sent() -> None:
    with pytest.raises(InvalidArguments, match="argument 'a': Expected `int`, got `str`"):
        of(positional).load([msgspec.Raw(b'"x"')], {})
    with pytest.raises(InvalidArguments, match="missing a required argument"):
        of(positional).load([], {})
    with pytest.raises(InvalidArguments, match="argument 'a'"):
        of(positional).load([msgspec.Raw(b"[" * 100_000)], {})


def test_an_annotation_that_cannot_be_resolved_is_told() -> None:
    def task(a: "Unknown") -> None: ...

    with pytest.raises(InvalidTask, match=r"task 'm:f' has an annotation that cannot be resolved: .*Unknown"):
        of(task)


def test_a_type_that_json_cannot_become_is_refused_by_its_name() -> None:
    class Socket: ...

    def task(wire: Socket) -> None: ...

    assert "Socket" in refusal(task, 1)


# --- by name only ----------------------------------------------------------------------------------------------------


def test_a_task_known_by_name_takes_whatever_json_can_carry() -> None:
    dumped = AnySignature("m:f").dump((1, Point(2)), {"a": None})
    assert [bytes(one) for one in dumped.args] == [b"1", b'{"x":2,"y":0}']
    assert {name: bytes(one) for name, one in dumped.kwargs.items()} == {"a": b"null"}
    with pytest.raises(InvalidArguments, match=r"builtins\.object cannot be written as JSON"):
        AnySignature("m:f").dump((object(),), {})
