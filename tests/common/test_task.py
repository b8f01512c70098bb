"""Declaring a task changes nothing about calling its function, and needs nothing but the function."""

import asyncio
import importlib
import inspect
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from warren.errors import InvalidArguments, InvalidTask
from warren.retry import Retry
from warren.task import Call, CoroutineTask, NamedTask, Task, default_name, named, task


@task
def plain(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


@task(queue="images", retry=Retry(attempts=2), timeout=timedelta(minutes=1), name="resize")
def configured(path: str) -> str:
    return path


@task
async def coroutine(a: int) -> int:
    return a


class Holder:
    @staticmethod
    def method(a: int) -> int:
        return a


# --- declaring -------------------------------------------------------------------------------------------------------


def test_a_task_is_still_its_function() -> None:
    assert plain(1) == 3
    assert plain(1, b=4) == 5
    assert (plain.__doc__, inspect.signature(plain)) == ("Add.", inspect.signature(plain.function))


def test_a_task_is_named_by_module_and_function() -> None:
    assert plain.name == f"{__name__}:plain"
    assert default_name(Holder.method) == f"{__name__}:Holder.method"


def test_parentheses_take_options() -> None:
    assert (configured.name, configured.settings.queue, configured.settings.retry.attempts) == ("resize", "images", 2)
    assert task()(plain.function).name == plain.name


def test_a_coroutine_function_is_a_coroutine_task() -> None:
    assert isinstance(coroutine, CoroutineTask)
    assert coroutine.is_coroutine
    assert not plain.is_coroutine
    assert asyncio.run(coroutine(7)) == 7
    assert isinstance(coroutine.options(queue="a"), CoroutineTask)
    assert isinstance(task(queue="a")(coroutine.function), CoroutineTask)


def test_a_task_shows_its_name_and_queue() -> None:
    assert repr(configured) == "<task 'resize' on queue 'images'>"


def test_what_no_worker_could_import_is_refused() -> None:
    def nested() -> None: ...

    for function in (nested, lambda: None):
        with pytest.raises(InvalidTask, match="not at the top level of a module, so no worker could import it"):
            task(function)
    assert task(name="fine")(nested).name == "fine"


def test_an_impossible_option_names_the_function() -> None:
    with pytest.raises(InvalidTask, match=r"task '.*nested': priority=11"):

        @task(name="x", priority=11)
        def nested() -> None: ...

    with pytest.raises(InvalidTask, match="did you mean 'queue'"):
        task(quue="a")(plain.function)  # type: ignore[call-overload]


def test_declaring_does_not_look_at_annotations() -> None:
    def function(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    declared = task(name="x")(function)
    with pytest.raises(InvalidTask, match="Nowhere"):
        _ = declared.signature


# --- as a script -----------------------------------------------------------------------------------------------------

SCRIPT = """
from warren.task import task
@task
def work() -> None: ...
print(work.name)
"""


def name_when_run(folder: Path, *arguments: str, stdin: str | None = None) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, input=stdin).stdout.strip()


def test_a_script_has_the_name_it_would_be_imported_by(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(SCRIPT)
    package = tmp_path / "shop"
    package.mkdir()
    (package / "mail.py").write_text(SCRIPT)
    assert name_when_run(tmp_path, "jobs.py") == "jobs:work"
    assert name_when_run(tmp_path, "-m", "jobs") == "jobs:work"
    assert name_when_run(tmp_path, "-m", "shop.mail") == "shop.mail:work"
    assert name_when_run(tmp_path, "-", stdin=SCRIPT).endswith(":work")


def test_a_package_run_as_a_program_has_the_name_of_its_main_module(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(SCRIPT)
    assert name_when_run(tmp_path, "-m", "shop") == "shop.__main__:work"


# --- options of a call -----------------------------------------------------------------------------------------------


def test_options_give_a_copy() -> None:
    changed = configured.options(queue="bulk", priority=9, delay=60)
    assert isinstance(changed, Task)
    assert (changed.name, changed.settings.queue, changed.settings.priority) == ("resize", "bulk", 9)
    assert changed.settings.retry.attempts == 2
    assert (configured.settings.queue, configured.settings.priority) == ("images", None)
    assert changed.function is configured.function
    assert changed("a") == "a"


def test_a_copy_keeps_the_name_unless_it_gets_another() -> None:
    assert plain.options(queue="a").name == plain.name
    assert plain.options(name="b").name == "b"
    assert plain.options(name="b").options(queue="a").name == "b"


def test_impossible_options_of_a_call_name_the_task() -> None:
    with pytest.raises(InvalidTask, match="task 'resize': priority=10"):
        configured.options(priority=10)


def test_a_call_is_bound_and_checked() -> None:
    call = plain.call(1, b=2)
    assert isinstance(call, Call)
    assert call.task is plain
    assert [bytes(one) for one in call.arguments.args] == [b"1"]
    with pytest.raises(InvalidArguments, match="argument 'a': Expected `int`"):
        plain.call("x")  # type: ignore[arg-type]


# --- by name ---------------------------------------------------------------------------------------------------------


def test_a_task_can_be_known_by_its_name_only() -> None:
    reference = named("shop.mail:send", queue="mail", delay=5)
    assert isinstance(reference, NamedTask)
    assert (reference.name, reference.settings.queue) == ("shop.mail:send", "mail")
    assert bytes(reference.call({"a": 1}).arguments.args[0]) == b'{"a":1}'
    with pytest.raises(InvalidArguments, match=r"shop\.mail:send"):
        reference.call(object())


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidTask, match="name is empty"):
        named("")


def test_a_reference_refuses_impossible_options_too() -> None:
    with pytest.raises(InvalidTask, match="task 'a:b': priority"):
        named("a:b", priority=-1)


def test_declaring_in_a_module_makes_it_importable_again() -> None:
    module, _, name = plain.name.partition(":")
    assert getattr(importlib.import_module(module), name) is plain
