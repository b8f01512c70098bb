"""Sizes and numbers of processes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren import quantities


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1024", 1024), ("512MiB", 512 * 2**20), ("1.5 GiB", 3 * 2**29), ("2gb", 2 * 10**9), ("7kib", 7168)],
)
def test_a_size_is_bytes_or_a_number_with_a_unit(text: str, size: int) -> None:
    assert quantities.size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "512M", "1 MiB each", "1e3", "0x10", "1,5GiB", "inf"])
def test_what_is_no_size_is_told_with_the_units_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="is no size: take bytes, or a number with one of KB, MB, GB, TB, KiB, MiB"):
        quantities.size(text)


@given(st.integers(0, 2**50))
def test_a_plain_number_is_itself(number: int) -> None:
    assert quantities.size(str(number)) == number


@pytest.mark.parametrize(
    ("text", "bounds", "kept"),
    [
        ("4", (4, 4), 4),
        ("0", (0, 0), 0),
        ("2..16", (2, 16), "2..16"),
        (" 2 .. 16 ", (2, 16), "2..16"),
        ("3..3", (3, 3), "3..3"),
    ],
)
def test_a_number_of_processes_is_one_number_or_two(text: str, bounds: tuple[int, int], kept: int | str) -> None:
    assert quantities.bounds(text) == bounds
    assert quantities.processes(text) == kept
    assert quantities.bounds(kept) == bounds


@pytest.mark.parametrize(
    "text", ["", "..", "2..", "..4", "4..2", "0..4", "-1", "-1..4", "1...3", "1..2..3", "two", "1.5"]
)
def test_what_is_no_number_of_processes_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no number of processes: take N, or MIN\.\.MAX with 1 <= MIN <= MAX"):
        quantities.processes(text)
