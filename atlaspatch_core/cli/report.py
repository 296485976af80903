"""``atlaspatch report``: one page about all slides of a project."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import EXISTING_FILE, FILE, documented_command, option
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.output_folders import OUTPUT_DIR, named_folder, recorded_folder
from atlaspatch_core.cli.projects import recipe_of_file
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.discovery.cohorts import COHORTS
from atlaspatch_core.errors import AtlasPatchError, InvalidLabels, NoSlides, UnknownName

if TYPE_CHECKING:
    from atlaspatch_core.operations.report.labels import MapLabels
    from atlaspatch_core.operations.tracking.folder_status import RecordedFolder
    from atlaspatch_core.validity.recipe import Recipe

ON = "the first called stem, slide_id, case_id …"
FIRST_COLUMNS = "the first that name neither slides nor cases"


@reads_only
@documented_command(
    "report",
    section="Look at results",
    summary="Write one HTML page about all slides",
    examples=(
        "atlaspatch report",
        "atlaspatch report out --to cohort.html --labels labels.csv --color-by grade",
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
@click.option(
    "--labels",
    type=EXISTING_FILE,
    help="Table of labels, CSV or Parquet, a row a slide or a row a case: colours the map of embeddings.",
)
@click.option("--labels-on", metavar="COLUMN", help="Column of --labels that names slides or cases.", show_default=ON)
@click.option(
    "--color-by",
    metavar="COLUMN",
    multiple=True,
    help="Columns of --labels to choose from on the page, the first to begin with.",
    show_default=FIRST_COLUMNS,
)
@option(*COHORTS.flags, multiple=True, help=COHORTS.help, show_default=COHORTS.unset)
@click.pass_context
def report(
    context: click.Context,
    page: Path | None,
    labels: Path | None,
    labels_on: str | None,
    color_by: tuple[str, ...],
    cohorts: tuple[str, ...],
    **_: object,
) -> None:
    """Write one HTML page about all slides of a project, or of an output folder.

    Without OUTPUT_DIR the project file says what there should be. An OUTPUT_DIR that 'encode-slide', 'encode-patient'
    or 'run' made needs no project file: what they were asked for is recorded there, and all runs together count.

    Gallery with outlines, distributions, outliers, map of embeddings, what is fresh, stale, missing or failed and why.
    It opens from disk, without a server or a network. Slides are not opened: records, GeoJSON and HDF5 files are read.
    Of a project, the Dagster instance in DAGSTER_HOME (~/.atlaspatch/dagster by default) is asked why slides failed; of
    an OUTPUT_DIR, only where DAGSTER_HOME is set.

    --labels colours the map of embeddings by a column of a table, which is chosen on the page. Slides without a label
    are drawn hollow. The labels stand at the slides, too: whoever gets the page can read them.
    """
    from atlaspatch_core.operations.report.report import write_report

    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    if cohorts and page is None:
        raise click.UsageError("--cohort needs --to: the page in the output folder is that of all slides")
    if labels is None and (labels_on or color_by):
        raise click.UsageError("--labels-on and --color-by need --labels, the table whose columns they name")
    folder, project_file = named_folder(context)
    recorded = recorded_folder(folder) if folder else None
    recipe, discovery = (recorded.recipe, recorded.discovery) if recorded else (recipe_of_file(project_file), None)
    asks = hooks.failures if recorded is None or hooks.failures_of_folders else None
    try:
        choice = label_choice(labels, labels_on, color_by, cases_by_slide(recipe, recorded)) if labels else None
        failures = asks(recipe) if asks else None
        written = write_report(recipe, failures, page, cohorts=cohorts, discovery=discovery, labels=choice)
    except (UnknownName, NoSlides, InvalidLabels) as error:
        raise click.UsageError(str(error)) from error
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: the page cannot be written ({error.strerror})") from error
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in written.numbers.items() if count)
    click.echo(f"{written.path} written: {counts}")
    if written.labels and (gaps := written.labels.sentence()):
        click.echo(f"labels: {gaps}")


def cases_by_slide(recipe: "Recipe", recorded: "RecordedFolder | None") -> Mapping[str, Sequence[str]]:
    """Return stem to cases, by the tables of cases of a project or of a folder's runs."""
    from atlaspatch_core.pipeline.patients.manifest import manifest_of

    cases = recorded.cases if recorded else manifest_of(recipe.project)
    return cases.cases_by_slide() if cases else {}


def label_choice(
    table: Path, on: str | None, columns: tuple[str, ...], cases: Mapping[str, Sequence[str]]
) -> "MapLabels":
    """Return what the options say of labels, with their names for what is refused."""
    from atlaspatch_core.operations.label_tables import LabelSource
    from atlaspatch_core.operations.report.labels import MapLabels

    return MapLabels(LabelSource(table, on, cases, "--labels-on"), columns, "--color-by")
