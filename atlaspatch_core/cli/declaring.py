"""How options are declared: in groups, each with its default in the help."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

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


STRICT = "--strict"
STRICT_HELP = (
    "Warnings are failures: exit code 1 when a slide has one, 2 when a row of a table or a mask serves no slide. What "
    "was computed stays."
)


def option(*names: str, **settings: Any) -> Decorator:
    """Return a click option that shows its default."""
    return click.option(*names, **{"show_default": True, **settings})
