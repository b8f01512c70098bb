"""What every command is given: the options that all of them take, and the settings that follow from them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from warren.settings import Settings


@dataclass(slots=True)
class Invocation:
    """One call of the executable; what was said before and after the command's name is put together here.

    Attributes:
        json: one JSON document on standard output, instead of text for humans.
        explicit: settings given as options, by name.
    """

    json: bool = False
    debug: bool = False
    explicit: dict[str, str] = field(default_factory=dict)

    def settings(self, **more: Any) -> "Settings":
        """Return the settings in force; None means not given.

        Raises:
            InvalidSettings: with every problem found.
        """
        from warren.settings import load  # noqa: PLC0415 - `--help` needs no settings

        values: dict[str, Any] = {**self.explicit, **more}
        return load(**values)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def _setting(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    invocation = ctx.find_root().ensure_object(Invocation)
    if value is not None:
        invocation.explicit[str(option.name)] = value


def _switch(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    invocation = ctx.find_root().ensure_object(Invocation)
    if value:
        setattr(invocation, str(option.name), True)


def _options_of_all() -> list[click.Parameter]:
    return [
        click.Option(
            ["--url"], metavar="URL", expose_value=False, callback=_setting, help="The broker; several with commas."
        ),
        click.Option(
            ["--namespace"],
            metavar="NAME",
            expose_value=False,
            callback=_setting,
            help="Prefix of everything on the broker.",
        ),
        click.Option(
            ["--management-url"],
            metavar="URL",
            expose_value=False,
            callback=_setting,
            help="RabbitMQ's HTTP API; port 15672 of the broker by default.",
        ),
        click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_switch, help="One JSON document instead of text."
        ),
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, callback=_switch, help="Show the traceback of an error."
        ),
    ]


class Command(click.Command):
    """A command that takes the options of all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _options_of_all()


class Group(click.Group):
    """A group of commands; it takes the options of all too, before the command's name."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _options_of_all()
