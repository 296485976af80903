"""How options are declared: in groups, each with its default in the help."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from atlaspatch_core.cli.types import Number, Whole

Decorator = Callable[[Any], Any]

POSITIVE = Whole(min=1)
SHARE = Number(min=0, max=1)
EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


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
