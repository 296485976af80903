"""``atlaspatch encode-patient``: a table of cases in, one file per case out."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli import options as groups
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.devices import check_devices, tell_precision
from atlaspatch_core.cli.dry_run import WorkPlan, tell_plan
from atlaspatch_core.cli.encode_slide import (
    DONE,
    SOME_FAILED,
    checked_recipe,
    display_of,
    follow_outcomes,
    went_wrong,
    write_summary,
)
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.recipe_warnings import tell_recipe
from atlaspatch_core.cli.shared_names import tell_segmenter
from atlaspatch_core.cli.values import RunMode, check_scale, encode_project, run_mode
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from rich.text import Text

    from atlaspatch_core.validity.recipe import Recipe

PATIENT = "patient_embedding"


@documented_command(
    "encode-patient",
    section="Process slides",
    summary="Cases of several slides to embeddings",
    examples=(
        "atlaspatch encode-patient cases.csv --output out --patient-encoders moozy --patch-size 224 --target-mag 20",
        "atlaspatch encode-patient cases.csv --output out --patient-encoders mean-uni_v2 --patch-size 256 "
        "--target-mag 20 --json",
    ),
)
@groups.CASES
@groups.LOADING
@groups.GEOMETRY
@groups.TISSUE
@groups.FILTERS
@groups.PICTURES
@groups.RUNTIME
@groups.MODE
@groups.MESSAGES
@click.pass_context
def encode_patient(context: click.Context, **_: object) -> None:
    """Compute one embedding for each case of MANIFEST_PATH, from the patches of all its slides.

    MANIFEST_PATH is a CSV with the columns case_id and slide_path, and mpp where a slide does not say it. Relative
    paths start at its folder; a slide may belong to several cases. Each case gets one file per encoder,
    OUTPUT/patient_features/ENCODER/CASE_ID.h5, and each slide the file that encode-slide gives it. What is there
    already and still valid is reused.

    Exit code: 0 when every case is done, 1 when one or more failed or the table has a mistake, 2 for wrong usage.
    """
    check_scale(context)
    mode = run_mode(context)
    table: Path = context.params["manifest_path"]

    def work(hooks: Hooks) -> int:
        tell_segmenter(context)
        device, of_features = context.params["device"], context.params["feature_device"]
        if not mode.dry_run:
            check_devices(device, of_features)
        tell_precision(context, (of_features or device,))
        return run(checked_recipe(encode_project(context, manifest=table)), table, mode, hooks)

    carry_out(
        context,
        work,
        mode.output,
        verbose=mode.verbose,
        log_file=mode.log_file,
    )


def run(recipe: "Recipe", table: Path, mode: RunMode, hooks: Hooks) -> int:
    """Do the work, print it, and return the exit code. Raises InvalidManifest, InvalidProject before any work."""
    from atlaspatch_core.cli.slides import left_out_line, report_unused
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.operations.tracking.tracker import Command
    from atlaspatch_core.pipeline.patients.encoding import encode_cases, slide_steps
    from atlaspatch_core.pipeline.patients.manifest import manifest_at

    tell_recipe(recipe, strict=mode.strict)
    manifest = manifest_at(table, recipe.project)
    command = Command("encode-patient", mode.arguments)
    discovery = Discovery(manifest.sources(manifest.cases), left_out=manifest.left_out)
    report_unused(recipe.project, discovery, strict=mode.strict)
    cases: list[Outcome] = []
    if mode.dry_run:
        return tell_plan("encode-patient", WorkPlan(recipe, discovery, manifest=manifest), mode, hooks)
    display = display_of(mode, len(manifest.slides), len(slide_steps(recipe, recipe.cases)))
    outcomes = encode_cases(manifest, recipe, force=mode.force, on_patches=display.patches)

    def show(outcome: Outcome) -> None:
        if outcome.step.kind == PATIENT:
            cases.append(outcome)
            is_urgent = outcome.status is Status.FAILED
            (display.say if is_urgent else display.say_unless_quiet)(case_line(outcome))
            return
        if hooks.report:
            hooks.report(recipe, outcome)
        display.add(outcome)

    follow_outcomes(outcomes, recipe, discovery, command, display, show, cases=len(manifest.cases))
    display.say_unless_quiet(summary(cases, recipe.project.output))
    if manifest.left_out:
        display.say(left_out_line(discovery))
    failed = manifest.left_out or any(outcome.status is Status.FAILED for outcome in cases)
    odd = mode.strict and went_wrong(display.outcomes, strict=True)
    code = SOME_FAILED if failed or odd else DONE
    if mode.as_json:
        write_summary("encode-patient", mode, code, chain(*display.outcomes.values(), cases), discovery)
    return code


def case_line(outcome: Outcome) -> "Text":
    """Return what became of one embedding of a case, on one line."""
    from rich.text import Text

    from atlaspatch_core.cli.printing import STYLES, reason

    slides = outcome.numbers.get("slides")
    of_slides = "" if slides is None else f" of {format_count(slides, 'slide')}"
    why = reason(outcome)
    failed = outcome.status is Status.FAILED
    fate = f"FAILED: {why}" if failed else f"{outcome.status}" + (f" ({why})" if why else "")
    words = f"{outcome.step.encoder} embedding{of_slides} {fate}"
    return Text.assemble((f"case {outcome.stem}: ", "bold"), (words, STYLES[outcome.status]))


def summary(cases: Sequence[Outcome], output: Path) -> str:
    """Return the last line of a run."""
    fates = [outcome.status for outcome in cases]
    always = (Status.COMPUTED, Status.REUSED, Status.FAILED)
    shown = [fate for fate in Status if fate in always or fate in fates]
    counts = ", ".join(f"{fates.count(fate)} {fate}" for fate in shown)
    return f"{format_count(len(fates), 'patient embedding')}: {counts}; files in {output}"
