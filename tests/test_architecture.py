"""The folders depend on each other in one direction only, and nothing in them grows too big to be read."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMESPACE = "warren"
MAY_IMPORT: dict[str, set[str]] = {
    "common": set(),
    "producer": {"common"},
    "worker": {"common"},
    "scheduler": {"common", "producer"},
    "console": {"common", "producer", "worker", "scheduler"},
}
MEASURED = ("common", "producer", "worker", "scheduler", "console", "examples", "scripts", "benchmarks")
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_METHODS = 400, 40, 15

OWNER = {
    entry.stem: folder
    for folder in MAY_IMPORT
    for entry in (ROOT / folder / NAMESPACE).iterdir()
    if not entry.name.startswith(("_", "py.typed"))
}
FILES = sorted(file for folder in MAY_IMPORT for file in (ROOT / folder).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imported_folders(file: Path) -> set[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    words = [name.split(".") for name in names]
    return {OWNER[found[1]] for found in words if found[0] == NAMESPACE and len(found) > 1 and found[1] in OWNER}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_folder_imports_only_what_it_may(file: Path) -> None:
    folder = file.relative_to(ROOT).parts[0]
    assert imported_folders(file) <= MAY_IMPORT[folder] | {folder}


def test_every_root_is_checked() -> None:
    assert {path.parent.name for path in ROOT.glob(f"*/{NAMESPACE}") if path.is_dir()} == set(MAY_IMPORT)


def test_no_name_is_in_two_roots() -> None:
    names = [entry.stem for folder in MAY_IMPORT for entry in (ROOT / folder / NAMESPACE).iterdir()]
    ours = [name for name in names if not name.startswith(("_", "py"))]
    assert sorted(set(ours)) == sorted(ours)


def test_the_namespace_has_no_init() -> None:
    assert not [folder for folder in MAY_IMPORT if (ROOT / folder / NAMESPACE / "__init__.py").exists()]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_every_portion_says_that_it_is_typed(folder: str) -> None:
    portion = ROOT / folder / NAMESPACE
    assert (portion / "py.typed" if folder == "common" else portion / folder / "py.typed").is_file()


def test_nothing_is_imported_from_a_parent() -> None:
    offenders = [
        f"{name_of(file)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level > 1
    ]
    assert not offenders


# --- what is imported when it runs -----------------------------------------------------------------------------------


def modules_after(statement: str) -> set[str]:
    """Return every module that a fresh interpreter has loaded after a statement."""
    script = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_producer_never_imports_the_worker() -> None:
    loaded = modules_after("import warren.producer")
    assert not [name for name in loaded if name.startswith(("warren.worker", "warren.console"))]


@pytest.mark.parametrize("module", ["warren.task", "warren.retry", "warren.context"])
def test_declaring_tasks_imports_no_client_library(module: str) -> None:
    assert not {"pika", "aio_pika", "aiormq"} & modules_after(f"import {module}")


def test_importing_the_producer_connects_to_nothing_and_loads_no_client_library() -> None:
    assert not {"pika", "aio_pika"} & modules_after("import warren.producer")


def test_a_pool_process_loads_nothing_of_its_parent() -> None:
    loaded = modules_after("import warren.worker.nursery")
    assert not {"warren.worker.daemon", "pika", "aio_pika", "prometheus_client", "rich"} & loaded


def test_a_worker_loads_no_pool_process_and_nothing_that_it_does_not_use() -> None:
    loaded = modules_after("import warren.logs, warren.worker.daemon, warren.amqp.pika_engine")
    assert not {"warren.worker.child", "aio_pika", "rich"} & loaded


# --- sizes -----------------------------------------------------------------------------------------------------------


def measured_files() -> Iterator[Path]:
    for folder in MEASURED:
        yield from sorted((ROOT / folder).rglob("*.py"))


def parsed() -> Iterator[tuple[str, ast.AST]]:
    for file in measured_files():
        for node in ast.walk(ast.parse(file.read_text())):
            yield name_of(file), node


def lines_of(function: Function) -> int:
    """Return a function's lines, its docstring and decorators not counted."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_no_file_is_too_long() -> None:
    lengths = {name_of(file): len(file.read_text().splitlines()) for file in measured_files()}
    offenders = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > MAX_FILE_LINES]
    assert not offenders, f"over {MAX_FILE_LINES}: {offenders}"


def test_no_function_is_too_long() -> None:
    offenders = [
        f"{name}:{node.lineno} {node.name}: {lines_of(node)} lines"
        for name, node in parsed()
        if isinstance(node, Function) and lines_of(node) > MAX_FUNCTION_LINES
    ]
    assert not offenders, f"over {MAX_FUNCTION_LINES}: {offenders}"


def methods_of(node: ast.ClassDef) -> int:
    """Return how many methods a class has: dunders are not counted, the overloads of one method once."""
    names = {item.name for item in node.body if isinstance(item, Function)}
    return len([name for name in names if not name.startswith("__")])


def test_no_class_has_too_many_methods() -> None:
    offenders = [
        f"{name}:{node.lineno} {node.name}: {methods_of(node)} methods"
        for name, node in parsed()
        if isinstance(node, ast.ClassDef) and methods_of(node) > MAX_METHODS
    ]
    assert not offenders, f"over {MAX_METHODS}: {offenders}"
