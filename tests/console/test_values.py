"""Values on the command line."""

from datetime import UTC, datetime
from typing import Any

import click
import pytest

from warren.console.values import json_object, json_or_text, moment

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
