"""What the tables of the reference must say, taken from the code."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from prometheus_client import CollectorRegistry

import warren.conductor.metrics
import warren.recorder.metrics
import warren.scheduler.metrics
import warren.service.metrics
from warren import errors
from warren.conductor.metrics import ConductorMetrics
from warren.console.cli import cli
from warren.delay import DelayTooLong
from warren.metrics import METRIC_NAMES, Metrics
from warren.options import Options
from warren.recorder.metrics import RecorderMetrics
from warren.scheduler.metrics import SchedulerMetrics
from warren.service.metrics import ServiceMetrics
from warren.settings import Settings

Row = list[str]
DAEMON_METRICS = (ServiceMetrics, SchedulerMetrics, ConductorMetrics, RecorderMetrics)
DAEMON_METRIC_NAMES = (
    warren.service.metrics.METRIC_NAMES
    | warren.scheduler.metrics.METRIC_NAMES
    | warren.conductor.metrics.METRIC_NAMES
    | warren.recorder.metrics.METRIC_NAMES
)
"""Of all daemons that are no workers."""


def settings() -> list[Row]:
    """Name, variable, default and meaning of every setting."""
    said = _arguments(Settings)
    fields = msgspec.structs.fields(Settings)
    return [[f"`{f.name}`", f"`WARREN_{f.name.upper()}`", _setting(f.default), str(said[f.name])] for f in fields]


def options() -> list[Row]:
    """Name, default and meaning of every option of a task."""
    said = _arguments(Options)
    return [[f"`{field.name}`", _option(field), said[field.name]] for field in dataclasses.fields(Options)]


def metrics() -> list[Row]:
    """Name, type, labels and meaning of every metric."""
    own = Metrics(CollectorRegistry())
    rows = []
    for name in sorted(METRIC_NAMES):
        if tallies := own._tallies.get(name):
            kind, labels, text = "histogram", tallies._labels, tallies._text
        else:
            metric = own._of[name]
            kind, labels, text = str(metric._type), metric._labelnames, metric._documentation
        rows.append([f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), text])
    return rows


def daemon_metrics() -> list[Row]:
    """The same of daemons that are no workers."""
    registry = CollectorRegistry()
    for each in DAEMON_METRICS:
        each(registry)
    own = {name: metric for metric, names in registry._collector_to_names.items() for name in names}
    wanted = sorted(name for name in DAEMON_METRIC_NAMES if name not in METRIC_NAMES)
    return [_metric(name, own[name]) for name in wanted]


def _metric(name: str, metric: Any) -> Row:
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return [f"`{name}`", str(metric._type), labels, metric._documentation]


def error_names() -> set[str]:
    """Every error that Warren raises on purpose."""
    found = {DelayTooLong, *(value for value in vars(errors).values() if isinstance(value, type))}
    return {error.__name__ for error in found if issubclass(error, errors.WarrenError)}


def as_markdown(rows: list[Row]) -> str:
    """Return rows as they are written in a page, to copy from a failed test."""
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def lines_between(page: Path, name: str) -> list[str]:
    """Return the lines of a page between the marks of that name."""
    _, _, rest = page.read_text().partition(f"<!-- {name}: begin -->\n")
    inside, end, _ = rest.partition(f"<!-- {name}: end -->")
    assert end, f"{page.name} has no marks {name!r}"
    return inside.splitlines()


def _arguments(described: type) -> dict[str, str]:
    """The lines of a docstring's `Args:`."""
    text = inspect.getdoc(described) or ""
    section = text.partition("Args:\n")[2]
    return dict(re.findall(r"^ +(\w+): (.+)$", section, re.MULTILINE))


def _setting(default: object) -> str:
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default != "" else ""


def _option(field: dataclasses.Field[object]) -> str:
    if field.default is dataclasses.MISSING:
        return "`Retry()`"
    return f"`{field.default!r}`" if field.default not in ("", None) else ""


def commands() -> dict[str, set[str]]:
    """Every command with the options that it has for itself."""
    return dict(_commands("warren", cli))


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, set[str]]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(f"{path} {name}", inner)
        return
    of_all = {"--url", "--namespace", "--management-url", "--json", "--debug"}
    names = {name for option in command.params for name in option.opts if name.startswith("--")}
    yield path, names - of_all
