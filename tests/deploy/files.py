"""Reads what deploy/ consists of: YAML, the Dockerfile's instructions, durations."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def compose() -> dict[str, Any]:
    found: dict[str, Any] = load_yaml(ROOT / "docker-compose.yml")
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def mounts() -> Iterator[tuple[str, str, str]]:
    """Yield service, source and target of every volume."""
    for name, service in services().items():
        for volume in service.get("volumes", []):
            source, target, *_ = volume.split(":")
            yield name, source, target


def seconds(text: str) -> float:
    """Return Compose's `40s` or `1m30s` as seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


def not_here(reason: str) -> NoReturn:
    """Skip on a developer's machine; in CI, which installs everything, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Instruction:
    stage: str
    name: str
    value: str


def dockerfile() -> list[Instruction]:
    """Return the instructions of the Dockerfile in order, each with the stage it stands in."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    stage, found = "", []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, value = line.split(maxsplit=1)
        if name == "FROM":
            stage = value.split()[-1]
        found.append(Instruction(stage, name, value))
    return found


def in_stage(stage: str, name: str) -> list[str]:
    return [found.value for found in dockerfile() if found.stage == stage and found.name == name]


def environment_of(stage: str) -> dict[str, str]:
    pairs = (pair.split("=", 1) for value in in_stage(stage, "ENV") for pair in value.split())
    return dict(pairs)
