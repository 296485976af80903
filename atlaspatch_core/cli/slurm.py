"""``atlaspatch slurm``: an sbatch script for a project."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import EXISTING_FILE, EXISTING_FOLDER, FILE, FOLDER, documented_command
from atlaspatch_core.cli.fields import field_options
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.slides import slides_of
from atlaspatch_core.cli.values import typed_options
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.slurm_job import SlurmJob


@reads_only
@documented_command(
    "slurm",
    section="Process slides",
    summary="Write an sbatch script for a project",
    examples=(
        "atlaspatch slurm --to job.sh",
        "atlaspatch slurm --project kidney/atlaspatch.toml --to job.sh",
    ),
)
@PROJECT
@field_options(
    SlurmJob,
    container={"type": EXISTING_FILE},
    environment={"type": EXISTING_FOLDER},
    weights={"type": EXISTING_FOLDER},
    logs={"type": FOLDER},
    sbatch={"type": str},
)
@click.option("--to", "file", type=FILE, help="File to write to.", show_default="the screen")
@click.pass_context
def slurm(context: click.Context, project_file: Path, file: Path | None, **_: object) -> None:
    """Write an sbatch script that makes a project on a Slurm cluster: an array of tasks, each with its part of it.

    Tasks write into the project's output folder, which all nodes share; none needs a database. A task that is killed or
    requeued does what is missing of its part. Slides are opened once, which the output folder remembers for the tasks,
    and nothing is submitted. 'atlaspatch record' tells of what landed.

    Exit code: 0, 1 when there is no slide or the file cannot be written, 2 for wrong usage.
    """
    from atlaspatch_core.operations.slurm import sbatch_script
    from atlaspatch_core.storage.atomic import make_folder, replacing

    project = recipe_of_file(project_file).project
    try:
        job = typed_options(SlurmJob, context)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    script = sbatch_script(project, project_file, slides_of(project), job)
    if file is None:
        click.echo(script, nl=False)
        return
    try:
        make_folder(job.logs)
        make_folder(file.absolute().parent)
        with replacing(file) as temporary:
            temporary.write_text(script, encoding="utf-8")
    except (OSError, AtlasPatchError) as error:
        raise click.ClickException(f"{file}: the script cannot be written ({error})") from error
    click.echo(f"{file} written; start it by: sbatch {file}")
