"""Values to JSON and back into annotated types, by msgspec; pydantic models and paths come along by hooks. Never pickle."""

import functools
import pathlib
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class NotEncodable(Exception):
    """A value that JSON (with msgspec's types) cannot carry; the message says which."""


class NotDecodable(Exception):
    """JSON that is broken, or does not fit the type; the message says where."""


def encode(value: object) -> bytes:
    """Return a value as JSON.

    Raises:
        NotEncodable: a type JSON cannot carry, or a number out of range.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotEncodable(str(error) or type(error).__name__) from error


def decode(data: bytes | msgspec.Raw, as_type: type[T] | Any = Any) -> T:
    """Return JSON rebuilt into a type (dataclass, msgspec or pydantic model, datetime, UUID, Decimal, bytes, enum, ...).

    Raises:
        NotDecodable: broken JSON, nesting too deep, or a value that does not fit.
    """
    try:
        value: T = _decoder(as_type).decode(data)
    except (
        msgspec.DecodeError,
        RecursionError,
        UnicodeDecodeError,
        ValueError,
        TypeError,
        NotImplementedError,
    ) as error:
        raise NotDecodable(str(error) or type(error).__name__) from error
    return value


def _decoder(as_type: Any) -> msgspec.json.Decoder[Any]:
    try:
        return _kept_decoder(as_type)
    except TypeError:  # an annotation that cannot be hashed; or one that is no type, which the next line says
        return msgspec.json.Decoder(as_type, dec_hook=_rebuild)


@functools.lru_cache(maxsize=512, typed=True)
def _kept_decoder(as_type: Any) -> msgspec.json.Decoder[Any]:
    """Making one costs more than most uses of it."""
    return msgspec.json.Decoder(as_type, dec_hook=_rebuild)


def _simplify(value: object) -> object:
    if isinstance(value, pathlib.PurePath):
        return str(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} cannot be written as JSON")


def _rebuild(as_type: type[Any], value: object) -> object:
    if as_type is object:
        return value
    if isinstance(as_type, type) and issubclass(as_type, pathlib.PurePath) and isinstance(value, str):
        return as_type(value)
    validate = getattr(as_type, "model_validate", None)
    if validate is not None:
        return validate(value)
    raise TypeError(f"a value of type {getattr(as_type, '__qualname__', as_type)!r} cannot be rebuilt from JSON")


_ENCODER = msgspec.json.Encoder(enc_hook=_simplify)
