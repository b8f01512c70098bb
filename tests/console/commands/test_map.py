"""`warren map`: many items, one result each."""

import json
from pathlib import Path

import pytest
from tests.console.executable import JOBS, Warren

pytestmark = pytest.mark.broker


def test_results_come_in_the_order_of_the_items(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        assert warren.ok("map", f"{JOBS}:square", "1", "2", "3", "--chunk", "2", "--wait", "60") == "1\n4\n9\n"
        lines = "".join(f"{number}\n" for number in range(50))
        done = warren("map", f"{JOBS}:square", "-", "--kwargs", '{"plus": 1}', "--chunk", "7", stdin=lines)
        assert done.stdout.split() == [str(number * number + 1) for number in range(50)]
        assert done.stderr == ""  # no bar where nobody looks


def test_items_are_json_or_text_one_a_line(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        printed = warren.ok("map", f"{JOBS}:echo", "-", "--wait", "60", stdin='plain text\n\n{"a": 1}\n')
    assert [json.loads(line) for line in printed.splitlines()] == ["plain text", {"a": 1}]


def test_failed_items_are_told_and_the_others_kept(warren: Warren, tmp_path: Path) -> None:
    with warren.worker(tmp_path):
        done = warren("map", f"{JOBS}:square", "2", "--wait", "60", "--", "-3", "4")
        assert done.returncode == 1
        assert done.stdout == "4\nnull\n16\n"
        assert "item 1 failed: ValueError: -3 is negative" in done.stderr
        document = warren.json("map", f"{JOBS}:square", "--wait", "60", "--chunk", "1", "2", '"x"', code=1)
    assert document["results"] == [4, None]
    (failed,) = document["failed"]
    assert failed["position"] == 1
    assert "int" in failed["error"]


def test_no_items_are_no_results(warren: Warren) -> None:
    assert warren.json("map", f"{JOBS}:square", "-", stdin="") == {"results": [], "failed": []}


def test_too_little_time_says_how_far_it_got(warren: Warren) -> None:
    done = warren("map", f"{JOBS}:square", "1", "2", "--wait", "0.2")
    assert done.returncode == 3
    assert "0 of 2 items are done after 0.2 s" in done.stderr
