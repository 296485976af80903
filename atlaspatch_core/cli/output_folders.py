"""An output folder in place of a project file: what its runs asked for is recorded there."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from atlaspatch_core.cli.declaring import EXISTING_FOLDER, group
from atlaspatch_core.cli.projects import FILE_NAME, PROJECT
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.operations.tracking.folder_status import RecordedFolder

OUTPUT_DIR = group(
    click.argument("output_dir", type=EXISTING_FOLDER, required=False),
    PROJECT,
    click.option("--output", type=EXISTING_FOLDER, help="The same as OUTPUT_DIR."),
)
"""What a command takes that works on a project, or on what runs without one left."""


def named_folder(context: click.Context) -> tuple[Path | None, Path]:
    """Return the folder that was named, None for a project, and the project file.

    A folder with a project file in it is that project. Raises click.UsageError where two things were named.
    """
    output_dir, output = context.params["output_dir"], context.params["output"]
    project_file = context.params["project_file"]
    if output_dir and output and output_dir != output:
        raise click.UsageError(f"{output_dir} and --output {output} name two folders; give one of them")
    folder = output_dir or output
    if folder and context.get_parameter_source("project_file") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--project names the output folder itself; give it, or OUTPUT_DIR")
    if folder and (folder / FILE_NAME).is_file():
        return None, folder / FILE_NAME
    return folder, project_file


def recorded_folder(folder: Path) -> "RecordedFolder":
    """Return what the runs of a folder asked for, be the slides still there or not.

    Cases of a table that is gone are left out, which is told on stderr.
    Raises click.UsageError where no run is recorded, or what it names cannot be used any more.
    """
    from atlaspatch_core.operations.tracking.folder_status import read_recorded_folder

    try:
        recorded = read_recorded_folder(folder)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    for why in recorded.unusable_tables:
        click.echo(f"CASES LEFT OUT: {why}", err=True)
    return recorded
