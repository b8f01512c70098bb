"""What faulthandler writes, as people shall read it."""

import asyncio
import threading
from pathlib import Path

import pytest

from warren.worker import stacks
from warren.worker.stacks import STACK_CHARACTERS, innermost, is_whole, readable

OURS = Path(stacks.__file__).parent
LOOP = Path(asyncio.__file__).parent
ROAD = f"""\
  File "{OURS}/attempt.py", line 119 in _call
  File "{OURS}/child.py", line 70 in _run
  File "{OURS}/nursery.py", line 100 in main
  File "<frozen runpy>", line 88 in _run_code
  File "<frozen runpy>", line 198 in _run_module_as_main
"""
THREAD = """\
Thread 0x00007f0a (most recent call first):
  File "/app/pool.py", line 5 in wait
  File "/lib/threading.py", line 1002 in _bootstrap
"""
TASK = """\
  File "/app/jobs.py", line 3 in inner
  File "/app/jobs.py", line 9 in task
"""


def test_the_frames_that_lead_to_the_task_are_cut_off() -> None:
    assert readable(f"Current thread 0x00007f0b (most recent call first):\n{TASK}{ROAD}") == (
        f"Current thread 0x00007f0b (most recent call first):\n{TASK}".rstrip()
    )


def test_what_a_task_calls_of_ours_stays() -> None:
    called = f'  File "{OURS}/child.py", line 90 in _report\n'
    shown = readable(f"Thread 0x00007f0b (most recent call first):\n{called}{TASK}{ROAD}")
    assert shown.splitlines()[1:] == [*called.splitlines(), *TASK.splitlines()]


def test_the_loop_that_runs_a_coroutine_is_cut_off_as_well() -> None:
    loop = (
        f'  File "{LOOP}/base_events.py", line 653 in run_until_complete\n  File "{LOOP}/runners.py", line 118 in run\n'
    )
    limited = f'  File "{OURS}/attempt.py", line 150 in _limited\n  File "{LOOP}/events.py", line 80 in _run\n'
    shown = readable(f"Thread 0x00007f0b (most recent call first):\n{TASK}{limited}{loop}{ROAD}")
    assert shown.splitlines()[1:] == TASK.splitlines()


def test_a_process_between_jobs_says_so() -> None:
    idle = f'Current thread 0x00007f0b (most recent call first):\n  File "{OURS}/turns.py", line 95 in take\n{ROAD}'
    assert readable(idle).splitlines()[1:] == ["  (no task runs in it)"]


def test_a_thread_of_the_tasks_own_is_whole() -> None:
    shown = readable(f"{THREAD}\nCurrent thread 0x00007f0b (most recent call first):\n{TASK}{ROAD}")
    assert shown == f"Current thread 0x00007f0b (most recent call first):\n{TASK}\n{THREAD}".rstrip()


def test_what_runs_a_task_comes_before_what_waits_for_one() -> None:
    loop = (
        f'  File "{LOOP}/runners.py", line 118 in run\n  File "{OURS}/coroutines.py", line 85 in _serve\n'
        f'  File "{threading.__file__}", line 1002 in _bootstrap\n'
    )
    idle = f'Current thread 0x00007f0b (most recent call first):\n  File "{OURS}/turns.py", line 95 in take\n{ROAD}'
    first, second = readable(f"Thread 0x00007f0a (most recent call first):\n{TASK}{loop}\n{idle}").split("\n\n")
    assert first.splitlines()[1:] == TASK.splitlines()
    assert second.splitlines()[1:] == ["  (no task runs in it)"]


def test_at_a_fatal_signal_the_guilty_thread_comes_first() -> None:
    guilty = THREAD.replace("Thread", "Current thread")
    others = f"Thread 0x00007f0b (most recent call first):\n{TASK}{ROAD}\nExtension modules: a, b (total: 2)\n"
    text = f"Fatal Python error: Segmentation fault\n\n{guilty}\n{others}"
    head, first, second, modules = readable(text).split("\n\n")
    assert head == "Fatal Python error: Segmentation fault"
    assert first == guilty.rstrip()
    assert second.endswith("in task")
    assert modules.startswith("Extension modules")
    assert innermost(readable(text)) == 'File "/app/pool.py", line 5 in wait'


@pytest.mark.parametrize("text", ["", "\n", "nonsense", "Thread 0x1 (most recent call first):", "  File", "\n\n\n"])
def test_anything_can_be_read(text: str) -> None:
    readable(text)
    assert innermost(text) in ("", "File")
    assert not is_whole(text)


def test_stacks_are_whole_when_the_last_frame_of_the_main_thread_is_there() -> None:
    text = f"{THREAD}\nThread 0x00007f0b (most recent call first):\n{TASK}{ROAD}"
    assert is_whole(text)
    assert not any(is_whole(text[:end]) for end in range(len(text)))


def test_very_deep_stacks_are_cut_at_a_line() -> None:
    shown = readable("Current thread 0x1 (most recent call first):\n" + '  File "/a.py", line 1 in f\n' * 1000)
    assert len(shown) <= STACK_CHARACTERS
    assert shown.endswith("in f\n...")
