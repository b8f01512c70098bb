"""The Dockerfile, as far as it can be had without Docker: its build stage is run here line by line."""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.files import ROOT, dockerfile, environment_of, in_stage


def copied_from_context() -> list[str]:
    """Return every path of the repository that some stage copies."""
    copies = [found.value.split() for found in dockerfile() if found.name == "COPY"]
    return [path for words in copies if not words[0].startswith("--from") for path in words[:-1]]


def test_image_copies_every_source_root_of_the_wheel() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    roots = {package.split("/")[0] for package in hatch["targets"]["wheel"]["packages"]}
    copied = {path for value in in_stage("build", "COPY") for path in value.split()[:-1]}
    assert roots <= copied


def test_everything_the_image_copies_exists() -> None:
    assert [path for path in copied_from_context() if not (ROOT / path).exists()] == []


def test_build_context_is_an_allow_list_that_names_what_is_copied() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {f"!{path}" for path in copied_from_context()} <= set(rules)


def test_worker_is_process_1_and_no_shell_stands_between() -> None:
    assert json.loads(in_stage("base", "ENTRYPOINT")[0]) == ["warren"]
    assert in_stage("base", "STOPSIGNAL") == ["SIGTERM"]
    assert in_stage("base", "EXPOSE") == ["9464"]


def test_image_runs_under_a_fixed_number_that_is_not_root() -> None:
    for stage in ("base", "example", "runtime"):
        assert all(re.fullmatch(r"[1-9]\d+:[1-9]\d+", user) for user in in_stage(stage, "USER"))
    assert in_stage("base", "USER")


def test_a_build_without_target_gives_the_image_without_examples() -> None:
    assert dockerfile()[-1].stage == "runtime"


def test_image_names_no_broker_and_no_password() -> None:
    names = {name for stage in ("build", "base", "example", "runtime") for name in environment_of(stage)}
    assert "WARREN_URL" not in names
    assert not [name for name in names if re.search("PASS|SECRET|TOKEN|KEY", name)]
    assert not [found for found in dockerfile() if found.name == "ARG"]


class Health(http.server.BaseHTTPRequestHandler):
    status = 200
    asked: str = ""

    def do_GET(self) -> None:
        type(self).asked = self.path
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        pass


@pytest.fixture
def health_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check_believes_livez_even_with_a_proxy_configured(
    health_port: int, status: int, healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "status", status)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    command: list[str] = json.loads(in_stage("base", "HEALTHCHECK")[0].partition(" CMD ")[2])
    assert command[0] == "python"
    code = command[-1].replace("127.0.0.1:9464/", f"127.0.0.1:{health_port}/")
    assert code != command[-1]
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode == 0) is healthy
    assert Health.asked == "/livez"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the RUN lines of the build stage in a folder with what it copies; return the venv they make."""
    source, venv = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("opt") / "warren"
    for value in in_stage("build", "COPY"):
        *paths, target = value.split()
        for path in paths:
            if (ROOT / path).is_dir():
                shutil.copytree(ROOT / path, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / path, source / target)
    environment = outside_the_repository() | environment_of("build") | {"VENV": str(venv)}
    for line in in_stage("build", "RUN"):
        done = subprocess.run(
            ["sh", "-c", line], check=False, cwd=source, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return venv


def outside_the_repository() -> dict[str, str]:
    """Return the environment without what could lead Python, or Warren, back to this repository."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WARREN_", "VIRTUAL_ENV"))
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"}


@pytest.mark.slow
def test_wheel_built_as_in_the_image_runs_where_there_is_no_repository(built: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    said = subprocess.run(
        [built / "bin/warren", "--version"], check=True, cwd=tmp_path, env=outside_the_repository(), capture_output=True
    )
    assert version in said.stdout.decode()


@pytest.mark.slow
def test_wheel_built_as_in_the_image_holds_every_source_root(built: Path, tmp_path: Path) -> None:
    code = "import warren.task, warren.producer, warren.worker, warren.console as last; print(last.__path__[0])"
    said = subprocess.run(
        [built / "bin/python", "-c", code], check=True, cwd=tmp_path, env=outside_the_repository(), capture_output=True
    )
    assert said.stdout.decode().startswith(str(built))
