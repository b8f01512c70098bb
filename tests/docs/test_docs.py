"""The documentation is true: every example runs, every link leads somewhere, every table says what the code says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs import tables
from tests.docs.documents import ROOT, Block, anchors, blocks, documents, links, table
from tests.docs.scene import NOT_RUN, Scene, commands, not_run
from tests.support import Broker

from warren.console.permissions import least
from warren.settings import load
from warren.topology import Names

RUN = ("python", "console", "bash", "sh")
REFERENCE = ROOT / "docs/reference"


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


PAGES = [page for page in documents() if any(block.language in RUN for block in blocks(page))]


@pytest.fixture
def scene(broker: Broker, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, broker, namespace)
    yield made
    made.close()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_example_of_a_page_runs(page: Path, scene: Scene) -> None:
    for block in blocks(page):
        scene.run(block)


@pytest.mark.parametrize("page", documents(), ids=_name)
def test_every_block_says_its_language(page: Path) -> None:
    known = {*RUN, "toml", "json", "yaml", "text", "mermaid", "dockerfile", "ini", "make"}
    assert [str(block) for block in blocks(page) if block.language not in known] == []


@pytest.mark.parametrize("page", documents(), ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {page for page in ROOT.glob("docs/**/*.md") if page != index and "decisions" not in page.parts}
    assert pages - linked == set()


def test_every_decision_is_in_its_index() -> None:
    folder = ROOT / "docs/decisions"
    linked = {(folder / link).resolve() for link in links(folder / "README.md")}
    assert set(folder.glob("0*.md")) - linked == set()


def test_no_command_is_excused_in_vain() -> None:
    used = [
        command for page in PAGES for block in blocks(page) if block.language in RUN[1:] for command in commands(block)
    ]
    excused = {reason for command in used if (reason := not_run(command))}
    assert excused == set(NOT_RUN.values())


def test_the_pages_name_nothing_of_the_machine_they_were_written_on() -> None:
    foreign = re.compile(r"/root/|/home/|\.pyenv")
    assert [_name(page) for page in documents() if foreign.search(page.read_text())] == []


def test_the_settings_table_is_that_of_the_code() -> None:
    assert table(REFERENCE / "settings.md", "setting") == tables.settings(), tables.as_markdown(tables.settings())


def test_the_options_table_is_that_of_the_code() -> None:
    assert table(REFERENCE / "task-options.md", "option") == tables.options(), tables.as_markdown(tables.options())


def test_the_metrics_table_is_that_of_the_code() -> None:
    assert table(REFERENCE / "metrics.md", "metric") == tables.metrics(), tables.as_markdown(tables.metrics())


def test_the_table_of_the_other_daemons_metrics_is_that_of_the_code() -> None:
    rows = tables.daemon_metrics()
    assert table(REFERENCE / "metrics.md", "metric of a daemon") == rows, tables.as_markdown(rows)


def test_the_table_of_permissions_is_that_of_the_code() -> None:
    said = [[cell.strip("`") for cell in row[1:]] for row in table(ROOT / "deploy/README.md", "user")]
    assert said == [[rights.configure, rights.write, rights.read] for rights in least(Names())]


def test_the_errors_table_names_every_error() -> None:
    page = REFERENCE / "errors.md"
    named = {row[0].strip("`") for row in table(page, "error")}
    families = {"WarrenError", "UsageError", "PublishError", "ResultError"}
    assert named | families == tables.error_names()
    assert not [family for family in families if family not in page.read_text()]


def test_the_protocol_names_every_header_of_ours() -> None:
    sources = [ROOT / "common/warren" / name for name in ("job.py", "dead_letter.py", "control.py")]
    ours = {name for source in sources for name in re.findall(r'"(warren-[a-z-]*[a-z])"', source.read_text())}
    ours |= {f"warren-dead-{name}" for name in ("signal", "exit-code", "max-rss", "oom", "output", "stack")}
    said = set(re.findall(r"`(warren-[a-z-]+)`", (ROOT / "docs/protocol.md").read_text()))
    assert said == ours


def test_the_commands_table_is_that_of_the_code() -> None:
    rows = {
        row[0].strip("`"): set(re.findall(r"`(--[a-z-]+)`", row[2])) for row in table(REFERENCE / "cli.md", "command")
    }
    assert {" ".join(re.findall(r"\b[a-z]+\b", name)): options for name, options in rows.items()} == tables.commands()


def test_every_test_that_is_named_as_a_proof_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text()))
    there = {
        name for file in ROOT.glob("tests/**/test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert named - there == set()


def test_every_example_of_a_configuration_is_valid(tmp_path: Path) -> None:
    for block in (block for page in documents() for block in blocks(page) if block.language == "toml"):
        (tmp_path / "warren.toml").write_text(block.text)
        load(environ={}, folder=tmp_path)


def test_an_example_that_fails_is_noticed(scene: Scene) -> None:
    page = ROOT / "README.md"
    for text, complaint in (("1 / 0\n", "ZeroDivisionError"), ("print(1)  # 2\n", "should print")):
        with pytest.raises(AssertionError, match=complaint):
            scene.run(Block(page, 1, "python", text))
    with pytest.raises(AssertionError, match="ended with 3"):
        scene.run(Block(page, 1, "console", "$ exit 3\n"))
    with pytest.raises(AssertionError, match="should print"):
        scene.run(Block(page, 1, "console", "$ echo one\ntwo\n"))
