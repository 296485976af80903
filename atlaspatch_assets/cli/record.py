"""``atlaspatch record``: a Dagster instance told what lies in the output folder, by whomever it was made."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_assets.cli.home import ready_home, told_where_home_fails
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.slides import slides_of
from atlaspatch_core.errors import AtlasPatchError, OutputInUse
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_assets.lib.landed import RecordedCounts
    from atlaspatch_core.validity.recipe import Recipe

SECONDS_TO_WAIT = 60.0
"""For another process that tells of the same folder."""


@documented_command(
    "record",
    section="Web interface",
    summary="Tell Dagster what shards on a cluster made",
    examples=(
        "atlaspatch record",
        "atlaspatch record --project kidney/atlaspatch.toml",
    ),
)
@PROJECT
def record(project_file: Path) -> None:
    """Tell Dagster what landed in a project's output folder and what failed, as shards on a cluster leave it.

    The instance in DAGSTER_HOME (~/.atlaspatch/dagster by default) gets a materialisation of each valid output and, of
    each that could not be made, the failure with its reason, as if it had made them; slides, and the cases of the
    project's table, become partitions. What it knows is not told again, so this may be run at any time, also beside
    shards that still work. Nothing is computed.

    Exit code: 0, whatever failed; 1 when it could not be told, 2 for wrong usage.
    """
    try:
        click.echo(told_of_folder(recipe_of_file(project_file)))
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error


def told_of_folder(recipe: "Recipe") -> str:
    """Tell the instance of what lies in an output folder, and return a sentence that says of how much.

    Raises UnwritableOutput, InvalidManifest, or OutputInUse where another process tells it.
    """
    slides, cases = _record(recipe)
    results = format_count(slides.results + cases.results, "result")
    failures = format_count(slides.failures + cases.failures, "failure")
    counts = (format_count(slides.slides, "slide"), slides.slides), (format_count(cases.cases, "case"), cases.cases)
    concerned = " and ".join(text for text, count in counts if count)
    return f"Dagster was told of {results} and {failures}{f' of {concerned}' if concerned else ''}."


def _record(recipe: "Recipe") -> "tuple[RecordedCounts, RecordedCounts]":
    """Tell the instance of slides, and of cases."""
    import dagster as dg

    from atlaspatch_assets.defs.patients.landed import record_cases
    from atlaspatch_assets.lib.landed import record_folder
    from atlaspatch_core.operations.tracking.project_status import project_status

    discovery = slides_of(recipe.project)
    with (
        told_where_home_fails(ready_home()),
        dg.DagsterInstance.get() as instance,
        _only_one(recipe.project.output),
    ):
        outputs = project_status(recipe, discovery).outputs
        slides = record_folder(recipe, discovery, outputs, instance)
        return slides, record_cases(recipe, outputs, instance)


@contextmanager
def _only_one(output: Path) -> Iterator[None]:
    """Hold what keeps others from telling of a folder; who holds it may take hours, or be stopped.

    Raises OutputInUse where somebody does for ``SECONDS_TO_WAIT``.
    """
    from filelock import Timeout

    from atlaspatch_core.operations.tracking.json_files import lock_of

    lock = lock_of(output, "record")
    try:
        lock.acquire(timeout=SECONDS_TO_WAIT)
    except Timeout:
        raise OutputInUse(
            f"{output}: another 'atlaspatch record' has told of it for over {SECONDS_TO_WAIT:.0f} s; run this again "
            "when that has ended: what is told already is not told twice"
        ) from None
    try:
        yield
    finally:
        lock.release()
