"""What goes to standard output."""

import os
from typing import Any

import pytest

from warren.console import output


def test_a_table_for_a_pipe_cuts_nothing_and_has_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "count", "said"), [("a", 12, "x" * 500), ("bcd", None, "")], right=("count",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "count", "said"]
    assert lines[1] == "a        12  " + "x" * 500
    assert lines[2] == "bcd"


def test_a_table_for_a_terminal_cuts_the_last_column_to_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((60, 20)))
    output.table(("name", "said"), [("a" * 20, "x" * 500)])
    last = capsys.readouterr().out.splitlines()[-1]
    assert len(last) == 60
    assert last.endswith("…")


def test_markup_and_control_characters_in_a_cell_are_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("said",), [("[red]a[/red]\x1b[31m",)])
    assert "[red]a[/red]\\x1b[31m" in capsys.readouterr().out


def test_a_document_is_one_line_of_json_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"a": [1], "b": "ä"})
    assert capsys.readouterr().out == '{"a":[1],"b":"ä"}\n'


def test_empty_fields_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields((("name", "x"), ("nothing", None), ("empty", ""), ("zero", 0)))
    assert capsys.readouterr().out.splitlines() == ["name  x", "zero  0"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (1.5, "1970-01-01T00:00:01.500Z"), (None, None), (1e30, None)],
)
def test_moments_are_iso_8601_in_utc(seconds: float | None, said: str | None) -> None:
    assert output.iso(seconds) == said


@pytest.mark.parametrize(("value", "line"), [("cat", "cat"), (5, "5"), ({"a": 1}, '{"a":1}'), (None, "null")])
def test_a_value_for_a_human_is_text_as_it_is_else_json(value: Any, line: str) -> None:
    assert output.as_line(value) == line
