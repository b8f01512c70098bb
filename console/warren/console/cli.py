"""The command line `warren`: finds the command, runs it, and turns whatever it ends in into an exit code.

A command's module is imported when the command is used, so that `warren --help` and every small command start quickly.
"""

import os
import sys
from collections.abc import Sequence

import click

from warren.console.invocation import Group

COMMANDS = {
    "worker": "Run jobs of the tasks in MODULES.",
    "up": "Run everything for one machine in this terminal.",
    "scheduler": "Enqueue the jobs of schedules when they are due; move workflows.",
    "schedules": "List schedules, look at one, make, pause or run one.",
    "recorder": "Keep what happens to jobs in the store.",
    "workflows": "List workflows, draw one, cancel it, or retry what failed.",
    "enqueue": "Enqueue one job of TASK.",
    "result": "Tell what became of a job.",
    "cancel": "Cancel jobs, wherever they are.",
    "map": "Run TASK once per item.",
    "jobs": "List the jobs of the history, or look at one.",
    "queues": "List the queues and what waits in them.",
    "workers": "List the workers, look at one, or tell it what to do.",
    "top": "Show queues, workers and jobs on a page that refreshes.",
    "dead": "List, show, replay or drop dead letters.",
    "topology": "Show, apply or check what Warren declares.",
    "check": "Tell every problem; start nothing.",
}
"""Each command's module in `warren.console.commands`, and its line in the help."""


class Lazy(Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module  # noqa: PLC0415 - not needed for --help

        command: click.Command = import_module(f"warren.console.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from warren.metrics import package_version  # noqa: PLC0415

        click.echo(f"warren {package_version()}")
        ctx.exit()


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Tell the version and leave."
)
def cli() -> None:
    """Warren: a RabbitMQ-backed job queue.

    Settings come from options, WARREN_* variables and warren.toml, in this order; `warren check` tells which are in force.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = cli.main(list(arguments), prog_name="warren", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has had enough, as `head` does; what is still buffered goes nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nobody above us could tell a human
        from warren.console.failing import report  # noqa: PLC0415 - only when something failed

        return report(error, as_json="--json" in arguments, debug="--debug" in arguments)
    return int(code or 0)


def main() -> None:
    """Be the executable."""
    sys.exit(run(sys.argv[1:]))
