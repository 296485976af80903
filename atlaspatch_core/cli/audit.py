"""``atlaspatch audit``: what is wrong with a folder of results, whoever wrote it."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.progress import progress
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.result_folders import result_options, with_slides
from atlaspatch_core.errors import AtlasPatchError, UnknownLayout
from atlaspatch_core.tables import write_table
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.interop.audit.findings import AuditFinding
    from atlaspatch_core.layouts.found import ResultFolder
    from atlaspatch_core.slides.sections import SeriesChoice
    from atlaspatch_core.validity.recipe import Recipe

SOUND, PROBLEMS = 0, 1


@reads_only
@documented_command(
    "audit",
    section="Look at results",
    summary="Say what is wrong with results",
    examples=(
        "atlaspatch audit out",
        "atlaspatch audit trident_job --slides slides --json",
    ),
)
@result_options(
    project="A project file to hold the results against: what is stale, and what cannot be told.",
    slides=": sizes, names and content are compared.",
    mpp_csv=", instead of the project's. With --project, results that were made at another scale are stale.",
)
@click.option(
    "--mark-damaged",
    is_flag=True,
    help="Mark results of ours that are not what was written, so that the next run computes them anew, and them alone.",
)
@click.option(
    "--add-checksums",
    is_flag=True,
    help="Give results of ours that were written before there were checksums those of what lies there now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object per finding.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per finding.")
@click.pass_context
def audit(
    context: click.Context,
    folder: Path,
    project_file: Path | None,
    slides: Path | None,
    recursive: bool,
    mpp_csv: Path | None,
    series: "SeriesChoice",
    mark_damaged: bool,
    add_checksums: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Say what is wrong with the results in DIR, which TRIDENT, AtlasPatch, CLAM or atlaspatch wrote.

    Every file is read, and nothing below DIR is written. Problems are results that are wrong, lost or unusable,
    each with the slide, the file, the value, the bound and the cure; notes are good to know.

    What atlaspatch wrote is held against its checksums. With --mark-damaged, the next run computes anew what they find;
    nothing is removed, what cannot be marked is moved to DIR/damaged, and outlines that a person drew are left alone.

    Exit code: 0 when there is no problem, 1 when there are some, 2 for wrong usage.
    """
    if as_json and as_csv:
        raise click.UsageError("either --json or --csv")
    results, discovery, recipe = read_inputs(folder, project_file, slides, recursive, mpp_csv, series)
    findings = run_audit(results, discovery, recipe)
    click.echo(_printed(findings, results, as_json=as_json, as_csv=as_csv), nl=not as_csv)

    if mark_damaged or add_checksums:
        _repair(results, findings, mark=mark_damaged, add=add_checksums)

    from atlaspatch_core.interop.audit.findings import problems

    context.exit(PROBLEMS if problems(findings) else SOUND)


def read_inputs(
    folder: Path,
    project_file: Path | None,
    slides: Path | None,
    recursive: bool,
    mpp_csv: Path | None,
    series: "SeriesChoice",
) -> "tuple[ResultFolder, Discovery | None, Recipe | None]":
    """Return what lies there, and what it is held against. Raises click.UsageError."""
    from atlaspatch_core.config.project import load_project, make_project
    from atlaspatch_core.discovery.find import find_slides
    from atlaspatch_core.validity.recipe import make_recipe

    if mpp_csv and not (slides or project_file):
        raise click.UsageError("--mpp-csv states the scale of slides; say which, by --slides or --project")
    if series is not None and not (slides or project_file):
        raise click.UsageError(
            "--series says which image of a slide's file counts; name slides, by --slides or --project"
        )
    try:
        results = _recognised(folder)
        recipe = make_recipe(load_project(project_file)) if project_file else None
        project = recipe.project if recipe else make_project({"output": str(folder)}, origin="command line")
        project = with_slides(project, slides, mpp_csv, series, recursive=recursive)
        return results, find_slides(project, remember=False) if project.slides.folders else None, recipe
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _recognised(folder: Path) -> "ResultFolder":
    """Return whose results lie there, be they what an export wrote. Raises UnknownLayout."""
    from atlaspatch_core.interop.audit.exports import recognise_export
    from atlaspatch_core.layouts.recognise import recognise_folder

    try:
        return recognise_folder(folder)
    except UnknownLayout:
        if results := recognise_export(folder):
            return results
        raise


def run_audit(results: "ResultFolder", discovery: "Discovery | None", recipe: "Recipe | None") -> "list[AuditFinding]":
    """Return the findings, problems first; a bar shows how far it is."""
    from atlaspatch_core.interop.audit.findings import AuditSeverity
    from atlaspatch_core.interop.audit.run import audit_folder

    with progress("files", sum(1 for _ in results.files())) as bar:
        findings = list(audit_folder(results, discovery=discovery, recipe=recipe, on_file=bar.advance))
    return sorted(
        findings, key=lambda one: (one.severity is not AuditSeverity.PROBLEM, one.slide, str(one.file), one.kind)
    )


def _repair(results: "ResultFolder", findings: "list[AuditFinding]", *, mark: bool, add: bool) -> None:
    """Mark what is damaged, add checksums, and say on stderr what was done."""
    from atlaspatch_core.interop.audit.repair import repair

    for text in repair(results, findings, mark=mark, add=add):
        click.echo(text, err=True)


def _printed(findings: "list[AuditFinding]", results: "ResultFolder", *, as_json: bool, as_csv: bool) -> str:
    from atlaspatch_core.interop.audit.findings import COLUMNS

    rows = [finding.row(results.folder) for finding in findings]
    if as_json:
        return json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1, ensure_ascii=False)
    if as_csv:
        return write_table([COLUMNS, *rows])
    return as_text(findings, results)


def as_text(findings: "list[AuditFinding]", results: "ResultFolder") -> str:
    """Return a line per finding, counts by kind, and the total."""
    from atlaspatch_core.interop.audit.findings import problems

    lines = [_coloured(finding.line(results.folder), finding.severity.value) for finding in findings]
    wrong = problems(findings)
    files, slides = sum(1 for _ in results.files()), len(results.stems())
    of_files = f", {format_count(files, 'file')}" if results.groups else ""
    extent = f"{format_count(slides, 'slide')}{of_files}"
    notes = format_count(len(findings) - wrong, "note")
    total = f"{results.layout} results, {extent}: {format_count(wrong, 'problem')}, {notes}"
    return "\n".join([*lines, *_counts(findings), total])


def _coloured(line: str, severity: str) -> str:
    return click.style(line[:7], "red" if severity == "problem" else "cyan") + line[7:]


def _counts(findings: "Iterable[AuditFinding]") -> list[str]:
    counts = Counter((finding.severity.value, finding.kind) for finding in findings)
    width = max((len(kind) for _, kind in counts), default=0)
    rows = sorted(counts.items(), key=lambda entry: (entry[0][0] != "problem", -entry[1]))
    lines = [f"{severity:8} {kind.ljust(width)} {count:6d}" for (severity, kind), count in rows]
    return ["", *lines] if lines else []
