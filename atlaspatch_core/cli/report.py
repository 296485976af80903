"""``atlaspatch report``: one page about all slides of a project."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import FILE, option
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.discovery.cohorts import COHORTS
from atlaspatch_core.errors import AtlasPatchError, NoSlides, UnknownName


@reads_only
@click.command()
@PROJECT
@click.option(
    "--to",
    "page",
    type=FILE,
    help="File to write. Default: cohort_report.html in the project's output folder.",
)
@option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset)
@click.pass_context
def report(context: click.Context, project_file: Path, page: Path | None, cohorts: tuple[str, ...]) -> None:
    """Write one HTML page about all slides of a project.

    Gallery with outlines, distributions, outliers, map of embeddings, what is fresh, stale, missing or failed and why.
    It opens from disk, without a server or a network. Slides are not opened: records, GeoJSON and HDF5 files are read.
    The Dagster instance in DAGSTER_HOME (~/.atlaspatch/dagster by default) is asked why slides failed.
    """
    from atlaspatch_core.operations.report.report import write_report

    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    if cohorts and page is None:
        raise click.UsageError("--cohort needs --to: the page in the output folder is that of all slides")
    recipe = recipe_of_file(project_file)
    try:
        written = write_report(recipe, hooks.failures(recipe) if hooks.failures else None, page, cohorts=cohorts)
    except (UnknownName, NoSlides) as error:
        raise click.UsageError(str(error)) from error
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: the page cannot be written ({error.strerror})") from error
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in written.numbers.items() if count)
    click.echo(f"{written.path} written: {counts}")
