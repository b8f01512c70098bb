"""Values on the command line."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
import pytest

from warren.console import cli
from warren.console.values import finite, json_object, json_or_text, moment

CONTEXT, PARAMETER = click.Context(click.Command("x")), click.Option(["--x"])


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"1"', "1"),
        ("[1, 2]", [1, 2]),
        ("cat.png", "cat.png"),
        ("", ""),
        ("{broken", "{broken"),
        ("2020-01-01", "2020-01-01"),
        ("[" * 5000, "[" * 5000),
        ("\udcff", "\udcff"),
    ],
)
def test_a_word_is_json_if_it_parses_else_text(word: str, value: Any) -> None:
    assert json_or_text(word) == value


def test_keyword_arguments_are_an_object() -> None:
    assert json_object(CONTEXT, PARAMETER, '{"size": 64}') == {"size": 64}
    for wrong in ("[1]", "{", "size=64"):
        with pytest.raises(click.BadParameter, match="no JSON object"):
            json_object(CONTEXT, PARAMETER, wrong)


def test_a_moment_is_iso_8601() -> None:
    assert moment(CONTEXT, PARAMETER, "2030-01-01T00:00:00Z") == datetime(2030, 1, 1, tzinfo=UTC)
    assert moment(CONTEXT, PARAMETER, None) is None
    with pytest.raises(click.BadParameter, match="no moment"):
        moment(CONTEXT, PARAMETER, "tomorrow")


def test_a_number_of_seconds_is_finite() -> None:
    assert [finite(CONTEXT, PARAMETER, number) for number in (1.5, -2.0, None)] == [1.5, -2.0, None]
    for wrong in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(click.BadParameter, match="no number of finite size"):
            finite(CONTEXT, PARAMETER, wrong)


def test_every_option_that_takes_a_number_with_a_fraction_wants_a_finite_one() -> None:
    options = list(_options(cli.cli))
    assert len(options) > 5
    assert [option.name for option in options if option.callback is not finite] == []


def _options(command: click.Command) -> Iterator[click.Parameter]:
    for option in command.params:
        if isinstance(option.type, click.types.FloatParamType):
            yield option
    if isinstance(command, click.Group):
        for name in command.list_commands(CONTEXT):
            found = command.get_command(CONTEXT, name)
            assert found is not None
            yield from _options(found)
