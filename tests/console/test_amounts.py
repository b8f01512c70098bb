"""Durations, sizes and rates in a column."""

import pytest

from warren.console.amounts import rate, size, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (0.9, "0s"), (59.9, "59s"), (60, "1m00s"), (250, "4m10s"), (7500, "2h05m"), (273_600, "3d04h")],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, ""),
        (512, "512 B"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (38 << 20, "38 MiB"),
        (10 << 30, "10 GiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_a_size(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("value", "text"), [(None, ""), (0.0, "0.0"), (12.54, "12.5"), (8550.4, "8,550")])
def test_a_rate(value: float | None, text: str) -> None:
    assert rate(value) == text
