"""``atlaspatch doctor``: what may keep a project from running on this machine."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.fields import field_options
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.cli.projects import PROJECT
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.scripts import ScriptCommand
from atlaspatch_core.cli.slide_options import OPENING, READER_PLUGINS, slides_section, with_readers_of
from atlaspatch_core.cli.types import SlidePaths
from atlaspatch_core.cli.working import INTERRUPTED
from atlaspatch_core.config.input_fields import SlidesFields
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.operations.doctor.values import DoctorFinding
    from atlaspatch_core.validity.recipe import Recipe

PROFILES = ("base", "patch-encoders", "slide-encoders", "convert", "full")
"""What scripts for TRIDENT ask to be checked."""
NO_PROFILE = (
    "--profile {}: what is checked is the machine, and what the project uses, whatever the profile; "
    "the line 'extras' says what else is installed."
)
SEARCHING = ("recursive", "extensions", *OPENING)
"""Fields of ``[slides]`` that go with ``--slides``."""
SIGNS = {"PASS": ("✓", "green"), "WARN": ("!", "yellow"), "FAIL": ("✗", "red")}


@reads_only
@documented_command(
    "doctor",
    cls=ScriptCommand,
    section="Begin",
    summary="Check that this machine can run a project",
    examples=(
        "atlaspatch doctor",
        "atlaspatch doctor --slides /data/slides --recursive",
    ),
)
@PROJECT
@click.option(
    "--hub", "--check-gated", is_flag=True, help="Ask the Hugging Face hub too: token, and access to the weights."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), help="json is the same as --json.")
@click.option("--profile", type=click.Choice(PROFILES), help="Accepted, and not needed: the project says what is used.")
@click.option(
    "--slides",
    "slides_at",
    type=SlidePaths(),
    help="Open all slides of this folder instead, and list them, the odd ones first.",
)
@field_options(SlidesFields, only=SEARCHING)
@READER_PLUGINS
@click.pass_context
def doctor(
    context: click.Context,
    project_file: Path,
    hub: bool,
    as_json: bool,
    form: str | None,
    profile: str | None,
    slides_at: Path | None,
    feature_plugin: tuple[Path, ...],
    **_: object,
) -> None:
    """Check that this machine can run a project: software, device, weights, storage, slides, Dagster.

    Locks, renames and clocks of the output's file system are tried for real, in a folder that is removed again. Nothing
    is downloaded; the network is tried with --hub only. Each check has a time limit, so a dead network drive is a
    finding. Without a project file the machine alone is checked.

    With --slides, the slides of a folder are looked at, and nothing else: which are refused, warned of, of another
    scale than most, or without one. --recursive, --mpp-csv, --custom-mpp-keys, --reader-type, --series,
    --square-pixels and --plugin go with it.

    Exit code: 0 when nothing failed, whatever the warnings; 1 when something did, or a slide cannot be worked on; 2 for
    wrong usage.
    """
    if as_json and form == "text":
        raise click.UsageError("--json and --format text exclude each other; give one of them")
    as_json = as_json or form == "json"
    if profile:
        click.echo(NO_PROFILE.format(profile), err=True)
    if slides_at:
        with with_readers_of(feature_plugin):
            code = _survey(context, slides_at, as_json)
        context.exit(code)
    check_without_slides(context)
    named = context.get_parameter_source("project_file") is not ParameterSource.DEFAULT
    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    findings: list[DoctorFinding] = []
    try:
        with logging_to_stderr(False):
            for finding in _examine(project_file, named, hub, hooks):
                findings.append(finding)
                if not as_json:
                    click.echo(line(finding))
    except KeyboardInterrupt:
        context.exit(INTERRUPTED)
    click.echo(json.dumps(as_values(findings), indent=1) if as_json else summary(findings))
    context.exit(1 if any(finding.level == "FAIL" for finding in findings) else 0)


def _survey(context: click.Context, path: Path, as_json: bool) -> int:
    """Print how the slides at a path are, and return the exit code."""
    from atlaspatch_core.cli.doctor_slides import survey_at, survey_lines, survey_values

    try:
        with logging_to_stderr(False):
            survey = survey_at(path, slides_section(context))
    except KeyboardInterrupt:
        return INTERRUPTED
    click.echo(json.dumps(survey_values(survey), indent=1) if as_json else "\n".join(survey_lines(survey)))
    return 0 if survey.is_usable else 1


def check_without_slides(context: click.Context) -> None:
    """Raise click.UsageError for an option that goes with --slides, where that is not given."""
    names = (*SEARCHING, "feature_plugin")
    typed = [name for name in names if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    flags = [param.opts[0] for param in context.command.params if param.name in typed]
    if flags:
        raise click.UsageError(f"{', '.join(flags)} goes with --slides; the project file says it for a project")


def _examine(project_file: Path, named: bool, hub: bool, hooks: Hooks) -> "Iterator[DoctorFinding]":
    """Yield what is found, of the project first."""
    from atlaspatch_core.operations.doctor.checks import CHECKS
    from atlaspatch_core.operations.doctor.running import examine
    from atlaspatch_core.operations.doctor.values import Subject

    recipe, finding = _project(project_file, named)
    yield finding
    more = hooks.more_checks() if hooks.more_checks else ()
    yield from examine((*CHECKS, *more), Subject(recipe, hub))


def _project(file: Path, named: bool) -> "tuple[Recipe | None, DoctorFinding]":
    """Return what the project asks for, and whether it can be used."""
    from atlaspatch_core.config.project import load_project
    from atlaspatch_core.operations.doctor.values import fail, ok, warn
    from atlaspatch_core.validity.recipe import make_recipe

    if not named and not file.exists():
        cure = "run 'atlaspatch init', or name a project file by --project"
        return None, warn("project", f"there is no {file} here: the machine alone is checked", cure)
    try:
        project = load_project(file)
        recipe = make_recipe(project)
    except AtlasPatchError as error:
        text = str(error) if str(error).startswith(str(file)) else f"{file}: {error}"
        return None, fail("project", text, "correct the project file; what it names was not checked")
    if absent := [str(path) for path in project.plugins if not path.is_file()]:
        return recipe, fail("project", f"{file}: there is no plugin {', '.join(absent)}", "correct its path")
    if recipe.warnings:
        texts, cures = zip(*((warning.text, warning.cure) for warning in recipe.warnings), strict=True)
        return recipe, warn("project", f"{file}: {'; '.join(texts)}", "; ".join(dict.fromkeys(cures)))
    return recipe, ok("project", f"{file}: {len(recipe.stages)} outputs per slide")


def line(finding: "DoctorFinding") -> str:
    """Return a finding as text, its cure on a line of its own."""
    sign, colour = SIGNS[finding.level]
    cure = f"\n    → {finding.cure}" if finding.cure else ""
    return f"{click.style(sign, colour)} {finding.name}: {' '.join(finding.text.split())}{cure}"


def summary(findings: "Sequence[DoctorFinding]") -> str:
    """Return the last line."""
    counts = Counter(finding.level.value for finding in findings)
    warned = format_count(counts["WARN"], "warning")
    return f"{len(findings)} checks: {counts['PASS']} ok, {warned}, {counts['FAIL']} failed"


def as_values(findings: "Sequence[DoctorFinding]") -> dict[str, Any]:
    """Return JSON values; failures first, then warnings."""
    counts = Counter(finding.level.value for finding in findings)
    ranked = sorted(findings, key=lambda finding: list(reversed(SIGNS)).index(finding.level))
    checks = [
        {"status": finding.level.value, "name": finding.name, "message": finding.text, "fix": finding.cure}
        for finding in ranked
    ]
    totals = {"total": len(findings), "failed": counts["FAIL"], "warnings": counts["WARN"], "passed": counts["PASS"]}
    return {"summary": totals, "checks": checks}
