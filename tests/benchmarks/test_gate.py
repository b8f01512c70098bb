import threading
from pathlib import Path

from benchmarks.gate import Gate


def passing(folder: Path, passed: threading.Event) -> threading.Thread:
    def go() -> None:
        Gate(str(folder)).wait()
        passed.set()

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def test_an_open_gate_holds_nobody(tmp_path: Path) -> None:
    Gate(str(tmp_path)).wait()


def test_who_comes_to_a_closed_gate_passes_when_it_is_opened(tmp_path: Path) -> None:
    gate, passed = Gate(str(tmp_path)), threading.Event()
    gate.close()
    thread = passing(tmp_path, passed)
    assert not passed.wait(0.05)
    gate.open()
    thread.join(5)
    assert passed.is_set()


def test_a_gate_may_be_closed_and_opened_often(tmp_path: Path) -> None:
    gate = Gate(str(tmp_path))
    for _ in range(3):
        gate.close()
        gate.close()
        gate.open()
        Gate(str(tmp_path)).wait()
