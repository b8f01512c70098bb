"""Progress bars: only where a human looks."""

import pytest

from warren.console.progress import progress


def test_nothing_is_shown_where_standard_error_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("working") as tell:
        tell(1, 2, 0)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_terminal_gets_a_bar_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("working") as tell:
        tell(3, 4, 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "working" in captured.err
    assert "1 failed" in captured.err
