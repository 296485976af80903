"""How options are declared: in groups, each with its default in the help."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import click

from atlaspatch_core.cli.help import SECTIONS, HelpCommand, HelpOption
from atlaspatch_core.cli.types import LocalPath, Number, Whole

Decorator = Callable[[Any], Any]

POSITIVE = Whole(min=1)
SHARE = Number(min=0, max=1)
EXISTING = LocalPath(exists=True)
FOLDER = LocalPath(file_okay=False)
EXISTING_FOLDER = LocalPath(exists=True, file_okay=False)
FILE = LocalPath(dir_okay=False)
EXISTING_FILE = LocalPath(exists=True, dir_okay=False)


def group(*options: Decorator) -> Decorator:
    """Return one decorator for several options; the help lists them in this order."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


def panel(heading: str, *options: Decorator) -> Decorator:
    """Return one decorator for options that stand under a heading of the help."""

    def decorate(command: Any) -> Any:
        before = {id(param) for param in _params(command)}
        decorated = group(*options)(command)
        for param in _params(decorated):
            if id(param) not in before and isinstance(param, HelpOption):
                param.panel = param.panel or heading
        return decorated

    return decorate


def _params(command: Any) -> Sequence[click.Parameter]:
    return command.params if isinstance(command, click.Command) else getattr(command, "__click_params__", ())


def documented_command(
    name: str | None = None, *, section: str = SECTIONS[-1], summary: str, examples: Sequence[str], **settings: Any
) -> Decorator:
    """Return what makes a command: its heading and line in the list of all, and examples as they are typed."""
    settings = {"cls": HelpCommand, "short_help": summary, "examples": examples, "section": section} | settings
    return click.command(name, **settings)


STRICT = "--strict"
STRICT_HELP = (
    "Warnings are failures: exit code 1 when a slide has one, 2 when a row of a table or a mask serves no slide. What "
    "was computed stays."
)


def option(*names: str, **settings: Any) -> Decorator:
    """Return a click option that shows its default."""
    aliases = settings.get("aliases", ())
    return click.option(*names, *aliases, **{"cls": HelpOption, "show_default": True, **settings})
