"""Values go to JSON and come back as what their type says."""

import dataclasses
import enum
import math
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from tests.common.strategies import json_values

from warren.codec import NotDecodable, NotEncodable, decode, encode


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


@dataclasses.dataclass(frozen=True)
class Line:
    ends: tuple[Point, Point]
    colour: Colour = Colour.RED
    notes: dict[str, list[Point]] = dataclasses.field(default_factory=dict)


class Order(msgspec.Struct):
    id: uuid.UUID
    total: Decimal


class Customer(pydantic.BaseModel):
    name: str
    born: date | None = None


class Named(NamedTuple):
    a: int
    b: str


class Typed(TypedDict):
    a: int


NESTED = Line((Point(1, 2.5), Point(3)), Colour.BLUE, {"far": [Point(9)]})
MOMENT = datetime(2024, 2, 29, 12, 30, 1, 250_000, tzinfo=UTC)

EXAMPLES: list[tuple[Any, Any]] = [
    (int, 10**40),
    (float, 1.5),
    (str, "ä\x00"),
    (bool, True),
    (bytes, b"\x00\xff"),
    (datetime, MOMENT),
    (datetime, MOMENT.replace(tzinfo=None)),
    (date, date(2024, 2, 29)),
    (timedelta, timedelta(hours=3)),
    (uuid.UUID, uuid.UUID(int=7)),
    (Decimal, Decimal("1.10")),
    (Colour, Colour.RED),
    (Level, Level.LOW),
    (Point, Point(1, 2.0)),
    (Line, NESTED),
    (list[Line], [NESTED, NESTED]),
    (Order, Order(uuid.UUID(int=1), Decimal(5))),
    (Customer, Customer(name="A", born=date(2000, 1, 1))),
    (list[Customer], [Customer(name="A")]),
    (Customer | None, None),
    (Customer | None, Customer(name="A")),
    (dict[str, Customer], {"a": Customer(name="A")}),
    (Path, Path("/tmp/ä")),
    (PurePosixPath, PurePosixPath("a/b")),
    (list[Path], [Path("a"), Path("b")]),
    (Path | None, None),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (dict[int, str], {1: "a", -2: "b"}),
    (dict[uuid.UUID, int], {uuid.UUID(int=7): 1}),
    (Named, Named(1, "a")),
    (Typed, {"a": 1}),
    (int | str | None, "a"),
    (Any, {"a": [1, None, True, 1.5, "x"]}),
    (None, None),
]


@pytest.mark.parametrize(("as_type", "value"), EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))])
def test_a_value_comes_back_as_its_type(as_type: Any, value: Any) -> None:
    found: Any = decode(encode(value), as_type)
    assert found == value
    assert type(found) is type(value)


@given(json_values)
def test_plain_json_comes_back_as_it_is(value: object) -> None:
    assert decode(encode(value)) == value


def test_without_a_type_json_is_what_comes_back() -> None:
    assert decode(encode(Point(1, 2.0))) == {"x": 1, "y": 2.0}
    assert decode(encode({1, 2})) in ([1, 2], [2, 1])
    assert decode(encode(Path("a"))) == "a"
    assert decode(encode(Customer(name="A"))) == {"name": "A", "born": None}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_has_no_numbers_like_these_and_a_float_refuses_what_is_left(number: float) -> None:
    assert encode(number) == b"null"
    with pytest.raises(NotDecodable, match="Expected `float`, got `null`"):
        decode(encode(number), float)


# --- what JSON cannot carry ------------------------------------------------------------------------------------------


class Opaque:
    pass


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Opaque(), "test_codec.Opaque cannot be written as JSON"),
        ([{"a": Opaque()}], "Opaque cannot be written as JSON"),
        (lambda: None, "builtins.function cannot be written as JSON"),
        (1j, "builtins.complex cannot be written as JSON"),
        (ValueError("x"), "builtins.ValueError cannot be written as JSON"),
        (open, "cannot be written as JSON"),
        (Customer, "model_dump"),
        ({(1, 2): 3}, "cannot be written as JSON"),
        ("\udcff", "surrogates"),
        (LOOP, "recursion"),
    ],
    ids=["object", "nested", "function", "complex", "error", "builtin", "class", "tuple key", "surrogate", "loop"],
)
def test_what_json_cannot_carry_is_refused_with_its_type(value: object, told: str) -> None:
    with pytest.raises(NotEncodable) as refused:
        encode(value)
    assert told in str(refused.value)


# --- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "as_type", "told"),
    [
        (b"", int, "truncated"),
        (b"{", dict, "truncated"),
        (b"1 2", int, "trailing"),
        (b'"1"', int, "Expected `int`, got `str`"),
        (b"true", int, "Expected `int`, got `bool`"),
        (b"1.5", int, "Expected `int`, got `float`"),
        (b"null", str, "Expected `str`, got `null`"),
        (b'{"x": 1, "y": "a"}', Point, "$.y"),
        (b"{}", Point, "missing required field `x`"),
        (b'"green"', Colour, "green"),
        (b'"x"', uuid.UUID, "Invalid UUID"),
        (b'"x"', datetime, "RFC3339"),
        (b'"?"', bytes, "base64"),
        (b'{"name": 1}', Customer, "name"),
        (b"[1]", Path, "cannot be rebuilt"),
        (b"1", Opaque, "'Opaque' cannot be rebuilt from JSON"),
        (b'"\xff"', str, "invalid"),
        (b"[" * 100_000, Any, "recursion"),
        (b"1", Customer | Opaque, ""),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_does_not_fit_says_where(data: bytes, as_type: Any, told: str) -> None:
    with pytest.raises(NotDecodable) as refused:
        decode(data, as_type)
    assert told.lower() in str(refused.value).lower()


def test_object_takes_anything_as_any_does() -> None:
    assert decode(b'{"a": [1, null]}', object) == {"a": [1, None]}
    assert decode(b"[1, 2.5]", list[object]) == [1, 2.5]
