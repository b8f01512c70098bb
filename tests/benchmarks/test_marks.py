import os
from pathlib import Path

import pytest
from benchmarks.marks import Marks, counted, noted


def test_the_jobs_of_several_processes_are_added_up(tmp_path: Path) -> None:
    marks = Marks(str(tmp_path))
    marks.count()
    child = os.fork()
    if child == 0:
        marks.count()
        marks.count()
        os._exit(0)
    os.waitpid(child, 0)
    assert counted(str(tmp_path)) == 3


def test_durations_are_kept_in_their_order(tmp_path: Path) -> None:
    marks = Marks(str(tmp_path))
    for seconds in (0.5, 0.25):
        marks.note(seconds)
    assert noted(str(tmp_path)) == pytest.approx([0.5, 0.25])


def test_where_no_job_has_run_there_is_nothing(tmp_path: Path) -> None:
    assert (counted(str(tmp_path)), noted(str(tmp_path))) == (0, [])
