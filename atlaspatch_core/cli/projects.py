"""The project that a command works on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import FILE
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.validity.recipe import Recipe

VARIABLE, FILE_NAME = "ATLASPATCH_PROJECT", "atlaspatch.toml"
"""Environment variable that names a project file, and what it is called where none does."""
PROJECT = click.option(
    "--project",
    "project_file",
    type=FILE,
    envvar=VARIABLE,
    default=FILE_NAME,
    show_default=True,
    help="The project file. 'atlaspatch init' writes one.",
)
"""The option of every command that works on a project."""


def recipe_of_file(project_file: Path) -> "Recipe":
    """Return what a project file asks for. Raises click.UsageError for one that cannot be used."""
    from atlaspatch_core.config.project import load_project
    from atlaspatch_core.validity.recipe import make_recipe

    try:
        return make_recipe(load_project(project_file))
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
