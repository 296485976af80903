"""``atlaspatch report``: one page about all slides of a project."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import FILE, documented_command, option
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.output_folders import OUTPUT_DIR, named_folder, recorded_folder
from atlaspatch_core.cli.projects import recipe_of_file
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.discovery.cohorts import COHORTS
from atlaspatch_core.errors import AtlasPatchError, NoSlides, UnknownName


@reads_only
@documented_command(
    "report",
    section="Look at results",
    summary="Write one HTML page about all slides",
    examples=(
        "atlaspatch report",
        "atlaspatch report out --to cohort.html",
    ),
)
@OUTPUT_DIR
@click.option(
    "--to",
    "page",
    type=FILE,
    help="File to write.",
    show_default="cohort_report.html in the output folder",
)
@option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset)
@click.pass_context
def report(context: click.Context, page: Path | None, cohorts: tuple[str, ...], **_: object) -> None:
    """Write one HTML page about all slides of a project, or of an output folder.

    Without OUTPUT_DIR the project file says what there should be. An OUTPUT_DIR that 'encode-slide', 'encode-patient'
    or 'run' made needs no project file: what they were asked for is recorded there, and all runs together count.

    Gallery with outlines, distributions, outliers, map of embeddings, what is fresh, stale, missing or failed and why.
    It opens from disk, without a server or a network. Slides are not opened: records, GeoJSON and HDF5 files are read.
    Of a project, the Dagster instance in DAGSTER_HOME (~/.atlaspatch/dagster by default) is asked why slides failed; of
    an OUTPUT_DIR, only where DAGSTER_HOME is set.
    """
    from atlaspatch_core.operations.report.report import write_report

    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    if cohorts and page is None:
        raise click.UsageError("--cohort needs --to: the page in the output folder is that of all slides")
    folder, project_file = named_folder(context)
    recorded = recorded_folder(folder) if folder else None
    recipe, discovery = (recorded.recipe, recorded.discovery) if recorded else (recipe_of_file(project_file), None)
    asks = hooks.failures if recorded is None or hooks.failures_of_folders else None
    try:
        written = write_report(recipe, asks(recipe) if asks else None, page, cohorts=cohorts, discovery=discovery)
    except (UnknownName, NoSlides) as error:
        raise click.UsageError(str(error)) from error
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: the page cannot be written ({error.strerror})") from error
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in written.numbers.items() if count)
    click.echo(f"{written.path} written: {counts}")
