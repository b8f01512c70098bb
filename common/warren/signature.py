"""A task's signature: arguments to JSON, checked against the annotations; JSON to arguments, rebuilt into the annotated types."""

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from warren.codec import NotDecodable, NotEncodable, decode, encode
from warren.errors import InvalidArguments, InvalidTask

_EMPTY = inspect.Parameter.empty
Dump = Callable[[str, object], msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Positional and keyword arguments, each as JSON."""

    args: tuple[msgspec.Raw, ...]
    kwargs: Mapping[str, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of one task and the type of its result; made once, when first needed."""

    task: str
    parameters: inspect.Signature
    types: Mapping[str, Any]
    result: Any
    positional: tuple[str, ...] = ()
    """Names of the parameters that may be given by position."""
    fewest: int = sys.maxsize
    """How many arguments by position are enough without any keyword; most calls are of that plain kind."""

    @classmethod
    def of(cls, task: str, function: Callable[..., object]) -> "Signature":
        """Read a function's signature.

        Raises:
            InvalidTask: an annotation that cannot be resolved.
        """
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except (NameError, TypeError, AttributeError) as error:
            raise InvalidTask(f"task {task!r} has an annotation that cannot be resolved: {error}") from error
        parameters = inspect.signature(function)
        return cls(task, parameters, hints, hints.get("return", Any), *_by_position(parameters))

    def dump(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """Return the arguments as JSON, after reading them back as the worker will.

        Raises:
            InvalidArguments: they do not fit the signature or the annotations, or cannot be written as JSON.
        """
        if not kwargs and self.fewest <= len(args) <= len(self.positional):
            return Arguments(tuple(map(self.dump_one, self.positional, args)), {})
        return self.dump_with(args, kwargs, self.dump_one)

    def dump_with(self, args: Sequence[object], kwargs: Mapping[str, object], dump: Dump) -> Arguments:
        """Return the arguments, each as `dump` writes it, given its parameter's name.

        Raises:
            InvalidArguments: they do not fit the signature.
        """
        bound = self._bind(args, kwargs)
        return Arguments(
            tuple(dump(name, value) for name, value in bound.positional),
            {key: dump(name, value) for key, name, value in bound.by_keyword},
        )

    def load(self, args: Sequence[msgspec.Raw], kwargs: Mapping[str, msgspec.Raw]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments rebuilt into their annotated types.

        Raises:
            InvalidArguments: as for `dump`.
        """
        if not kwargs and self.fewest <= len(args) <= len(self.positional):
            return list(map(self._load, self.positional, args)), {}
        bound = self._bind(args, kwargs)
        return (
            [self._load(name, value) for name, value in bound.positional],
            {key: self._load(name, value) for key, name, value in bound.by_keyword},
        )

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> "_Bound":
        try:
            bound = self.parameters.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(self.task, str(error)) from error
        positional: list[tuple[str, Any]] = []
        for name, parameter in self.parameters.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += [(name, value) for value in bound.arguments.get(name, ())]
            elif len(positional) < len(args) and parameter.kind in _POSITIONAL:
                positional.append((name, bound.arguments[name]))
        parameters = self.parameters.parameters.values()
        rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), "")
        # `def f(a, /, **rest)` may be called with a keyword `a`: that one is of the rest.
        named = {p.name for p in parameters if p.kind in _BY_KEYWORD}
        return _Bound(positional, [(key, key if key in named else rest, value) for key, value in kwargs.items()])

    def dump_one(self, name: str, value: object) -> msgspec.Raw:
        """Return one argument as JSON, after reading it back.

        Raises:
            InvalidArguments: it does not fit its annotation, or cannot be written as JSON.
        """
        try:
            raw = msgspec.Raw(encode(value))
        except NotEncodable as error:
            raise InvalidArguments(self.task, f"argument {name!r}: {error}") from error
        self._load(name, raw)
        return raw

    def _load(self, name: str, raw: msgspec.Raw) -> Any:
        try:
            return decode(raw, self.types.get(name, Any))
        except NotDecodable as error:
            raise InvalidArguments(self.task, f"argument {name!r}: {error}") from error


def _by_position(parameters: inspect.Signature) -> tuple[tuple[str, ...], int]:
    every = parameters.parameters.values()
    positional = tuple(p.name for p in every if p.kind in _POSITIONAL)
    needed = sum(p.default is _EMPTY for p in every if p.kind in _POSITIONAL)
    needs_keyword = any(p.default is _EMPTY for p in every if p.kind is p.KEYWORD_ONLY)
    return positional, sys.maxsize if needs_keyword else needed


@dataclass(frozen=True, slots=True)
class _Bound:
    positional: list[tuple[str, Any]]
    by_keyword: list[tuple[str, str, Any]]


_POSITIONAL = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})
_BY_KEYWORD = frozenset({inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


@dataclass(frozen=True, slots=True)
class AnySignature:
    """The signature of a task known only by its name: takes whatever JSON can carry; the worker will check it."""

    task: str
    result: Any = Any

    def dump(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Arguments:
        """Return the arguments as JSON.

        Raises:
            InvalidArguments: something cannot be written as JSON.
        """
        return self.dump_with(args, kwargs, self.dump_one)

    def dump_with(self, args: Sequence[object], kwargs: Mapping[str, object], dump: Dump) -> Arguments:
        """Return the arguments, each as `dump` writes it."""
        return Arguments(
            tuple(dump(str(place), value) for place, value in enumerate(args)),
            {key: dump(key, value) for key, value in kwargs.items()},
        )

    def dump_one(self, _: str, value: object) -> msgspec.Raw:
        """Return one argument as JSON.

        Raises:
            InvalidArguments: it cannot be written as JSON.
        """
        try:
            return msgspec.Raw(encode(value))
        except NotEncodable as error:
            raise InvalidArguments(self.task, str(error)) from error
