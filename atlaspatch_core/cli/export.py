"""``atlaspatch export``: results for other programs, in their folders and formats."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import EXISTING_FILE, EXISTING_FOLDER, FOLDER, documented_command, option
from atlaspatch_core.cli.fields import field_options
from atlaspatch_core.cli.options import NAMES
from atlaspatch_core.cli.progress import progress
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.values import typed_options
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.config.input_fields import ProjectFields
from atlaspatch_core.consent import executing_named
from atlaspatch_core.errors import InvalidProject, NoSlides, UnknownName
from atlaspatch_core.interop.export.fields import DRY_RUN, ExportFields
from atlaspatch_core.interop.export.layouts import LAYOUTS
from atlaspatch_core.option import field_of
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from rich.text import Text

    from atlaspatch_core.interop.export import Exported, Selection, Target
    from atlaspatch_core.validity.recipe import Recipe

STYLES = {"written": "green", "unchanged": "dim", "planned": "cyan", "missing": "yellow"}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What was typed."""

    layout: str
    feature_plugin: tuple[Path, ...]
    """Files that are executed for their layouts, of all that there are."""
    folder: Path
    project_file: Path
    output: Path | None
    """Folder that is exported instead of a project."""
    stems: tuple[str, ...]
    cohorts: tuple[str, ...]
    encoders: tuple[str, ...] | None
    geometries: tuple[str, ...]
    column: str | None
    pt: bool
    include_stale: bool
    force: bool
    dry_run: bool
    verbose: bool


@reads_only
@documented_command(
    "export",
    section="Results from and for others",
    summary="Write results for other programs",
    examples=(
        "atlaspatch export --output out --layout trident --to exported",
        "atlaspatch export --layout anndata --to exported --dry-run",
    ),
)
@PROJECT
@click.option(
    "--output",
    type=EXISTING_FOLDER,
    help="Export what lies in this output folder of encode-slide, instead of a project's results. A result is then "
    "valid where it was computed from the very outlines, coords and features that lie there.",
)
@field_options(
    ExportFields,
    layout={"metavar": f"[{'|'.join(LAYOUTS)}]"},
    folder={"type": FOLDER},
    slides={"metavar": "STEM"},
    cohorts={"metavar": "COHORT"},
    encoders=NAMES,
    geometries={"metavar": "NAME"},
    column={"default": None, "show_default": "tissue_fraction"},
)
@option(
    *field_of(ProjectFields, "plugins").option.flags,
    type=EXISTING_FILE,
    multiple=True,
    show_default=False,
    help="Python file that declares further layouts; may be repeated. Its code is executed, though this command "
    "executes no plugin that results or a project file name.",
)
@option(*DRY_RUN.flags, is_flag=True, help=DRY_RUN.help)
@click.option("--verbose", "-v", is_flag=True, help="Name every file.")
@click.pass_context
def export(context: click.Context, **_: object) -> None:
    """Write results for other programs: TRIDENT, CLAM, torch, AnnData, SpatialData, pandas, QuPath.

    No slide is opened and nothing is computed anew. Results that are stale are refused, with the reason. What was
    exported before from the very same results is left alone, and so is what somebody else put into the folder.

    Exit code: 0 when all that was asked for is there, 1 when something is not, 2 for wrong usage.
    """
    options = typed_options(ExportOptions, context)
    source = context.get_parameter_source("project_file")
    if options.output and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("either --project or --output")
    _check_layout("pt", options.pt, options.layout, "trident")
    _check_layout("column", options.column, options.layout, "geojson")
    carry_out(context, lambda _: run(options), options.folder, verbose=options.verbose)


def _check_layout(name: str, value: bool | str | None, layout: str, of: str) -> None:
    if value and layout != of:
        raise click.UsageError(f"--{name} is for --layout {of} only.")


def run(options: ExportOptions) -> int:
    """Do the work, print it, and return the exit code."""
    from atlaspatch_core.interop.export import export_selected

    try:
        target, selection = target_of(options), selection_of(options)
        outcomes = export_selected(selection, target)
    except (UnknownName, InvalidProject, NoSlides) as error:
        raise click.UsageError(str(error)) from error
    fates: Counter[str] = Counter()
    with progress("slides", len(selection.stems)) as bar:
        for exported in outcomes:
            fates[exported.fate] += 1
            bar.say(lines_of(exported, verbose=options.verbose))
            bar.advance()
    click.echo(summary(fates, options.layout, target.folder))
    return 0 if fates.total() == sum(fates[name] for name in ("written", "unchanged", "planned")) else 1


def target_of(options: ExportOptions) -> "Target":
    """Return where files go, and how."""
    from atlaspatch_core.interop.export import Options, Target, find_layout

    chosen = Options(options.pt, options.column) if options.column else Options(options.pt)
    with executing_named(options.feature_plugin):
        layout = find_layout(options.layout, options.feature_plugin)
    return Target(options.folder, layout, chosen, dry_run=options.dry_run, force=options.force)


def selection_of(options: ExportOptions) -> "Selection":
    """Return what is exported: of a project, or of an output folder. Raises UnknownName, NoSlides."""
    from atlaspatch_core.interop.export import Choice, select, select_folder

    encoders = frozenset(options.encoders) if options.encoders else None
    choice = Choice(encoders, frozenset(options.geometries) or None, options.include_stale)
    stems = options.stems or None
    if options.output:
        return select_folder(options.output, choice, _of_cohorts(options, stems))
    recipe = recipe_of_file(options.project_file)
    return select(recipe, choice, _of_cohorts(options, stems, recipe))


def _of_cohorts(
    options: ExportOptions, stems: Collection[str] | None, recipe: "Recipe | None" = None
) -> Collection[str] | None:
    """Return the slides of the cohorts that were named, of a project or of what an output folder remembers."""
    from atlaspatch_core.discovery.cohorts import stems_among
    from atlaspatch_core.discovery.find import find_slides
    from atlaspatch_core.operations.tracking.remembered_project import remembered_project

    if not options.cohorts:
        return stems
    if recipe is None:
        assert options.output is not None
        discovery = remembered_project(options.output).find_slides(lambda _: ())
    else:
        discovery = find_slides(recipe.project)
    return stems_among(discovery.cohorts, options.cohorts, stems)


def lines_of(exported: "Exported", *, verbose: bool) -> "Text":
    """Return what became of a slide, and its files if they are to be named."""
    from rich.text import Text

    head = Text.assemble((f"{exported.stem}: ", "bold"), (words(exported), STYLES.get(exported.fate, "bold red")))
    return Text("\n").join([head, *(Text(f"  {path}") for path in exported.written if verbose)])


def words(exported: "Exported") -> str:
    """Return what became of a slide, in words."""
    why = " ".join(exported.why.removeprefix(f"{exported.stem}: ").split())
    verb = "would be written" if exported.fate == "planned" else "written"
    counts = [(len(exported.written), verb), (len(exported.unchanged), "unchanged")]
    files = ", ".join(f"{format_count(count, 'file')} {text}" for count, text in counts if count)
    if exported.fate in ("refused", "missing", "failed"):
        return f"{exported.fate.upper()}: {why}" + (f"; {files}" if files else "")
    return files


def summary(fates: Mapping[str, int], layout: str, folder: Path) -> str:
    """Return the last line."""
    slides = sum(fates.values())
    counts = ", ".join(f"{count} {fate}" for fate, count in fates.items() if count)
    return f"{format_count(slides, 'slide')}{f': {counts}' if counts else ''}; {layout} in {folder}"
