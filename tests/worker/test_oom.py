"""The kernel's out-of-memory killer is named only when its counter moved and nothing else explains the death."""

import itertools
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.workers import ROOT
from tests.support import eventually

from warren.worker.oom import OomWatch, counter_files, kills, own_counter

V2_MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
CONTAINER = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
EVENTS = "low 0\nhigh 12\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "expected"),
    [
        ("0::/system.slice/warren.service\n", V2_MOUNTS, ["/sys/fs/cgroup/system.slice/warren.service/memory.events"]),
        ("0::/\n", V2_MOUNTS, ["/sys/fs/cgroup/memory.events"]),
        (
            "4:memory:/a/b\n1:cpu,cpuacct:/\n0::/c\n",
            V1_MOUNTS,
            ["/sys/fs/cgroup/unified/c/memory.events", "/sys/fs/cgroup/memory/a/b/memory.oom_control"],
        ),
        ("4:memory:/docker/abc\n", CONTAINER, ["/sys/fs/cgroup/memory/memory.oom_control"]),
        ("4:memory:/docker/abc/sub\n", CONTAINER, ["/sys/fs/cgroup/memory/sub/memory.oom_control"]),
        ("0::/\n", "1 2 0:1 / /my\\040groups rw - cgroup2 none rw\n", ["/my groups/memory.events"]),
        ("0::/\n", "", []),
        ("", V2_MOUNTS, []),
        ("nonsense\n\n::\n", "nonsense\n - \n1 2 3 - cgroup2\n", []),
    ],
)
def test_the_counter_is_found_where_the_kernel_says(groups: str, mounts: str, expected: list[str]) -> None:
    assert counter_files(groups, mounts) == tuple(map(Path, expected))


@given(st.text(), st.text())
def test_nothing_that_stands_there_is_an_error(groups: str, mounts: str) -> None:
    counter_files(groups, mounts)
    kills(groups)


@pytest.mark.parametrize(
    ("text", "count"), [(EVENTS, 2), (CONTROL, 5), ("oom_kill_disable 0\n", None), ("", None), ("oom_kill x\n", None)]
)
def test_kills_are_counted(text: str, count: int | None) -> None:
    assert kills(text) == count


def watch(*counts: int | None, seconds: float = 0.1) -> OomWatch:
    """A watch of a counter that is so much at each look, with so much time between them."""
    looks, clock = iter(counts), itertools.count()
    return OomWatch(lambda: next(looks), lambda: next(clock) * seconds)


def test_a_kill_is_the_kernels_when_its_counter_moved() -> None:
    seen = watch(4, 5, 5)
    assert seen.did_it(9, ours=False) is True
    assert seen.did_it(9, ours=False) is False, "somebody else's kill -9"


def test_several_that_are_killed_at_once_are_all_known() -> None:
    seen = watch(0, 2, 2, 2)
    assert [seen.did_it(9, ours=False) for _ in range(3)] == [True, True, False]


def test_another_signal_or_our_own_kill_is_not_the_kernels() -> None:
    seen = watch(0, 1, 1, 1, 1)
    assert seen.did_it(11, ours=False) is False
    assert seen.did_it(None, ours=False) is False
    assert seen.did_it(9, ours=True) is False
    assert seen.did_it(9, ours=False) is True


def test_a_kill_that_hit_something_else_is_forgotten() -> None:
    seen = watch(0, 1, 1, seconds=5)
    assert seen.did_it(None, ours=False) is False
    assert seen.did_it(9, ours=False) is False


def test_without_a_counter_nothing_is_known() -> None:
    assert watch(None, None).did_it(9, ours=False) is None
    assert watch(3, None).did_it(9, ours=False) is None
    assert watch(None, 3, 4).did_it(9, ours=False) is None


def test_a_counter_that_appears_counts_from_then_on() -> None:
    seen = watch(None, 3, 4)
    assert [seen.did_it(9, ours=False) for _ in range(2)] == [None, True]


LIMITED = """
import asyncio
import os
import sys
from pathlib import Path

(Path(sys.argv[1]) / "cgroup.procs").write_text(str(os.getpid()))

from tests.worker.test_evidence import a_scene


async def main() -> None:
    async with a_scene(Path(sys.argv[2]), 1, 1, "fork") as scene:
        killed = await scene.crash("die_silently")
        eaten = await scene.crash("eat_all")
        print(killed.oom, eaten.oom, eaten.signal)


asyncio.run(main())
"""


def a_group_with_little_memory() -> Path:
    """A control group of its own, where that can be had."""
    own = counter_files(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    for parent in (file.parent for file in own if kills(file.read_text() if file.exists() else "") is not None):
        group = parent / f"warren-test-{os.getpid()}"
        try:
            group.mkdir()
            limit = next(group / name for name in ("memory.max", "memory.limit_in_bytes") if (group / name).exists())
            limit.write_text(str(300 << 20))
        except (OSError, StopIteration):
            with suppress(OSError):
                group.rmdir()
            continue
        return group
    pytest.skip("no control group can be made here")


def test_the_kernels_own_killer_is_recognised(tmp_path: Path) -> None:
    group = a_group_with_little_memory()
    try:
        command = [sys.executable, "-c", LIMITED, str(group), str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout.splitlines()[-1:] == ["False True 9"], done.stdout + done.stderr
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_this_process_can_be_asked_about_whatever_runs_it() -> None:
    count = own_counter()()
    assert count is None or count >= 0
