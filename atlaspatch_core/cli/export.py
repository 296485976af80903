"""``atlaspatch export``: results for other programs, in their folders and formats."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.types import Names
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.errors import InvalidProject, NoSlides, UnknownName
from atlaspatch_core.interop.export.layouts import LAYOUTS

if TYPE_CHECKING:
    from rich.progress import Progress

    from atlaspatch_core.interop.export import Exported, Selection, Target

STYLES = {"written": "green", "unchanged": "dim", "planned": "cyan", "missing": "yellow"}
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--layout", type=click.Choice(LAYOUTS), required=True, help="Who is to read the files.")
@click.option("--to", "folder", type=FOLDER, required=True, help="Folder for the files; made where it is not there.")
@PROJECT
@click.option(
    "--output",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Export what lies in this output folder of encode-slide, instead of a project's results. A result is then "
    "valid where it was computed from the very outlines, coords and features that lie there.",
)
@click.option("--slides", "stems", metavar="STEM", multiple=True, help="Only this slide; may be repeated.")
@click.option("--encoders", type=Names(), help="Only these patch and slide encoders. Default: all.")
@click.option("--geometry", "geometries", metavar="NAME", multiple=True, help="Only this geometry; may be repeated.")
@click.option("--column", help="geojson: tissue_fraction (default), norm, pc1, pc2, pc3 or the number of a feature.")
@click.option("--pt", is_flag=True, help="trident: write features as .pt tensors too.")
@click.option("--include-stale", is_flag=True, help="Export what is not valid, too.")
@click.option("--force", is_flag=True, help="Replace files that this export did not write, or that were changed since.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--verbose", "-v", is_flag=True, help="Name every file.")
@click.pass_context
def export(context: click.Context, verbose: bool, **options: Any) -> None:
    """Write results for other programs: TRIDENT, CLAM, torch, AnnData, pandas, QuPath.

    No slide is opened and nothing is computed anew. Results that are stale are refused, with the reason. What was
    exported before from the very same results is left alone, and so is what somebody else put into the folder.

    Exit code: 0 when all that was asked for is there, 1 when something is not, 2 for wrong usage.
    """
    given = context.get_parameter_source("project_file")
    if options["output"] and given is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("either --project or --output")
    for name in ("pt", "column"):
        _check_layout(name, options)
    carry_out(
        context,
        run,
        {**options, "source": options["output"], "output": options["folder"]},
        skip_existing=True,
        verbose=verbose,
    )


def _check_layout(name: str, options: Mapping[str, Any]) -> None:
    of = {"pt": "trident", "column": "geojson"}[name]
    if options[name] and options["layout"] != of:
        raise click.UsageError(f"--{name} is for --layout {of} only.")


def run(options: Mapping[str, Any], hooks: Hooks, *, force: bool, verbose: bool) -> int:  # noqa: ARG001
    """Do the work, print it, and return the exit code."""
    from atlaspatch_core.interop.export import export_selected

    try:
        target, selection = target_of(options), selection_of(options)
        outcomes = export_selected(selection, target)
    except (UnknownName, InvalidProject, NoSlides) as error:
        raise click.UsageError(str(error)) from error
    fates: Counter[str] = Counter()
    with _bar() as bar:
        task = bar.add_task("slides", total=len(selection.stems))
        for exported in outcomes:
            fates[exported.fate] += 1
            _say(bar, exported, verbose=verbose)
            bar.advance(task)
    click.echo(summary(fates, options["layout"], target.folder))
    return 0 if fates.total() == sum(fates[name] for name in ("written", "unchanged", "planned")) else 1


def target_of(options: Mapping[str, Any]) -> "Target":
    """Return where files go, and how."""
    from atlaspatch_core.interop.export import Options, Target, find_layout

    chosen = Options(options["pt"], options["column"]) if options["column"] else Options(options["pt"])
    flags = {name: options[name] for name in ("dry_run", "force")}
    return Target(options["folder"], find_layout(options["layout"]), chosen, **flags)


def selection_of(options: Mapping[str, Any]) -> "Selection":
    """Return what is exported: of a project, or of an output folder. Raises UnknownName, NoSlides."""
    from atlaspatch_core.interop.export import Choice, select, select_folder

    encoders, geometries = options["encoders"], options["geometries"]
    choice = Choice(frozenset(encoders) if encoders else None, frozenset(geometries) or None, options["include_stale"])
    stems = options["stems"] or None
    if options["source"]:
        return select_folder(options["source"], choice, stems)
    return select(recipe_of_file(options["project_file"]), choice, stems)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _say(bar: "Progress", exported: "Exported", *, verbose: bool) -> None:
    """Print what became of a slide to stdout, above the bar."""
    import sys

    from rich.console import Console
    from rich.text import Text

    console = bar.console if not bar.disable and sys.stdout.isatty() else Console(highlight=False)
    text = Text.assemble((f"{exported.stem}: ", "bold"), (words(exported), STYLES.get(exported.fate, "bold red")))
    files = [f"  {path}" for path in exported.written] if verbose else []
    console.print(Text("\n").join([text, *map(Text, files)]), soft_wrap=True, highlight=False)


def words(exported: "Exported") -> str:
    """Return what became of a slide, in words."""
    why = " ".join(exported.why.removeprefix(f"{exported.stem}: ").split())
    verb = "would be written" if exported.fate == "planned" else "written"
    counts = [(len(exported.written), verb), (len(exported.unchanged), "unchanged")]
    files = ", ".join(f"{count} file{'' if count == 1 else 's'} {text}" for count, text in counts if count)
    if exported.fate in ("refused", "missing", "failed"):
        return f"{exported.fate.upper()}: {why}" + (f"; {files}" if files else "")
    return files


def summary(fates: Mapping[str, int], layout: str, folder: Path) -> str:
    """Return the last line."""
    slides = sum(fates.values())
    counts = ", ".join(f"{count} {fate}" for fate, count in fates.items() if count)
    return f"{slides} slide{'' if slides == 1 else 's'}{f': {counts}' if counts else ''}; {layout} in {folder}"
