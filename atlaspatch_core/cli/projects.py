"""The project that a command works on."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from atlaspatch_core.cli.declaring import FILE
from atlaspatch_core.errors import AtlasPatchError, UnknownName

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.validity.recipe import Recipe

VARIABLE, FILE_NAME = "ATLASPATCH_PROJECT", "atlaspatch.toml"
"""Environment variable that names a project file, and what it is called where none does."""
PARAMETERS = ("project_file", "project_files")
"""What commands call it."""
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


def recipe_of_file(project_file: Path, change: "Callable[[Project], Project]" = lambda project: project) -> "Recipe":
    """Return what a project file asks for. Raises click.UsageError for one that cannot be used.

    ``change`` returns the project as the options of a command want it.
    One that nobody named, as it lies in the working folder, brings no plugins where results lie around it.
    """
    from atlaspatch_core.config.project import load_project
    from atlaspatch_core.discovery.result_folders import check_code_wanted
    from atlaspatch_core.validity.recipe import make_recipe

    try:
        project = load_project(project_file)
        if not _is_named():
            check_code_wanted(project, project_file)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    if not (project.geometry or project.slides.folders or project.slides.slide_list or project.patients.manifest):
        raise click.UsageError(
            f"{project_file}: it asks for nothing; give folders or a slide_list in [slides], and a [[geometry]]"
        )
    try:
        return make_recipe(change(project))
    except AtlasPatchError as error:
        raise click.UsageError(f"{project_file}: {error}{_where_named(project_file, error)}") from error


def _where_named(project_file: Path, error: AtlasPatchError) -> str:
    """Return where the file names what there is not, or an empty text."""
    from atlaspatch_core.config.complaints import where_named
    from atlaspatch_core.texts import decode_text

    return where_named(str(error), decode_text(project_file.read_bytes())) if isinstance(error, UnknownName) else ""


def _is_named() -> bool:
    """Tell whether the user named the project file of the command that runs."""
    context = click.get_current_context(silent=True)
    sources = [context.get_parameter_source(name) for name in PARAMETERS] if context else []
    return any(source not in (None, ParameterSource.DEFAULT) for source in sources) or not any(sources)
