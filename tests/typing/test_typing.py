"""Both type checkers agree on the public face: what is right and, line by line, what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
RIGHT, WRONG = HERE / "api.py", HERE / "wrong.txt"
"""The wrong uses are no `.py`, so that the repository's own check does not find them."""
MARKER = "# wrong"
WRONGLY_USED = "wrongly_used.py"

Found = dict[str, list[tuple[int, str]]]
"""Errors by file name: line and message."""


def mypy(wrong: Path) -> Found:
    """Return what mypy --strict says."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--output=json",
        "--warn-unused-ignores",
        str(RIGHT),
        str(wrong),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found: Found = {}
    for line in done.stdout.splitlines():
        told = json.loads(line)
        if told["severity"] == "error":
            found.setdefault(Path(told["file"]).name, []).append((told["line"], told["message"]))
    return found


def basedpyright(wrong: Path) -> Found:
    """Return what basedpyright says."""
    python = f"--pythonpath={sys.executable}"
    command = [sys.executable, "-m", "basedpyright", "--outputjson", python, str(RIGHT), str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found: Found = {}
    for told in json.loads(done.stdout)["generalDiagnostics"]:
        if told["severity"] == "error":
            line = told["range"]["start"]["line"] + 1
            found.setdefault(Path(told["file"]).name, []).append((line, told["message"]))
    return found


@pytest.fixture(scope="module", params=[mypy, basedpyright], ids=["mypy", "basedpyright"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    wrong = tmp_path_factory.mktemp("typing") / WRONGLY_USED
    wrong.write_text(WRONG.read_text())
    result: Found = request.param(wrong)
    return result


def test_what_is_right_is_right(found: Found) -> None:
    assert found.get(RIGHT.name, []) == []


def test_exactly_the_marked_lines_are_wrong(found: Found) -> None:
    lines = WRONG.read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith(MARKER)}
    told = {line for line, _ in found.get(WRONGLY_USED, [])}
    missed = {number: lines[number - 1].strip() for number in sorted(marked - told)}
    surprising = [(line, text) for line, text in found.get(WRONGLY_USED, []) if line not in marked]
    assert (missed, surprising) == ({}, [])


def test_nothing_else_is_said_of_any_file(found: Found) -> None:
    assert set(found) <= {RIGHT.name, WRONGLY_USED}
