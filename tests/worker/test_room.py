"""Memory for another process, as control groups allow it."""

from pathlib import Path

import pytest

from warren.worker.memory import MIB
from warren.worker.room import Group, groups, read, too_little


def write(folder: Path, limit: str, current: int, inactive: int) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 5\nfile 9\ninactive_file {inactive}\n")


def test_files_that_can_be_dropped_are_no_memory_in_use(tmp_path: Path) -> None:
    write(tmp_path, "1000", 800, 300)
    assert read(tmp_path) == Group(1000, 500)


def test_a_group_without_a_limit_allows_everything(tmp_path: Path) -> None:
    write(tmp_path, "max", 800, 300)
    assert read(tmp_path) is None


@pytest.mark.parametrize("missing", ["memory.max", "memory.current", "memory.stat"])
def test_what_cannot_be_read_is_not_known(tmp_path: Path, missing: str) -> None:
    write(tmp_path, "1000", 800, 300)
    (tmp_path / missing).unlink()
    assert read(tmp_path) is None


def test_there_is_room_up_to_nine_tenths_of_the_tightest_group() -> None:
    wide, tight = Group(1000 * MIB, 0), Group(100 * MIB, 50 * MIB)
    assert too_little(40 * MIB, lambda: [wide, tight]) == ""
    assert "50 MiB of 100 are used, and another process may take 41" in too_little(41 * MIB, lambda: [wide, tight])
    assert too_little(10**15, list) == ""


def test_the_groups_of_this_process_can_be_asked_for() -> None:
    assert all(group.limit > 0 for group in groups())
