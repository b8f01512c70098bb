"""`python -m benchmarks`: Warren beside Celery, Dramatiq and Taskiq on one private broker, as ratios; it never fails over a figure."""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from benchmarks import report
from benchmarks.figures import Book
from benchmarks.lab import Lab
from benchmarks.plan import RECORD, SMOKE
from benchmarks.session import MEASURES, run
from benchmarks.systems.registry import NAMES, portrait
from rich.console import Console

from warren.console.private_broker import aloud, private_broker, version_root

_OUT, _SMOKE_OUT = Path("benchmarks/results.json"), Path("benchmarks/smoke.json")
_WIDTH = 160


def _chosen(allowed: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    def names(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
        given = value.split(",")
        for name in given:
            if name not in allowed:
                raise click.BadParameter(f"{name!r} is none of {', '.join(allowed)}")
        return tuple(name for name in allowed if name in given)

    return names


@click.command()
@click.option("--only", callback=_chosen(tuple(MEASURES)), default=",".join(MEASURES), help="Measures, with commas.")
@click.option("--systems", callback=_chosen(NAMES), default=",".join(NAMES), help="Systems, with commas.")
@click.option("--runs", type=int, help="Of everything, interleaved.")
@click.option("--smoke", is_flag=True, help="Tiny amounts: does it run? Fails when a figure is missing.")
@click.option("--broker", envvar="BROKER", default="", help="RabbitMQ's version, 3.10 or 4.3; else what is there.")
def main(only: tuple[str, ...], systems: tuple[str, ...], runs: int | None, smoke: bool, broker: str) -> None:
    """Measure on this machine, now."""
    plan = SMOKE if smoke else RECORD
    plan = replace(plan, runs=runs) if runs else plan
    started = time.monotonic()
    brokers = partial(private_broker, root=version_root(broker, aloud) if broker else None)
    with brokers() as node:
        lab = Lab(node, plan, systems, brokers)
        surroundings = {"machine": machine(), "broker": lab.broker_version(), "runs": plan.runs}
        findings = run(lab, only, aloud)
    minutes = (time.monotonic() - started) / 60
    book, console = Book(findings.samples), Console(width=_WIDTH)
    portraits = [portrait(name) for name in systems]
    whole = (only, systems) == (tuple(MEASURES), NAMES)
    for table in (report.conditions(portraits), *report.figures(book), report.claims(book, whole=whole)):
        console.print(table)
    out = _SMOKE_OUT if smoke else _OUT
    out.write_text(json.dumps(report.as_document(findings.samples, surroundings, portraits), indent=1))
    for failure in findings.failures:
        console.print(failure, markup=False, highlight=False)
    console.print(f"{surroundings['machine']}; {surroundings['broker']}; median of {plan.runs} interleaved runs")
    console.print(f"{minutes:.1f} minutes; every run is in {out}")
    if smoke:
        console.print("a smoke test: tiny numbers, several cases at a time; its figures say nothing")
        raise SystemExit(1 if findings.failures else 0)


def machine() -> str:
    """Describe what it runs on."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return (
        f"{os.cpu_count()} x {names[0] if names else platform.machine()}, {memory / 1e6:.0f} GB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, load before {os.getloadavg()[0]:.1f}"
    )


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    main()
