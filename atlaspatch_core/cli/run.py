"""``atlaspatch run``: TRIDENT's batch command in our words."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli import run_options as groups
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.devices import tell_precision
from atlaspatch_core.cli.dry_run import WorkPlan, tell_plan
from atlaspatch_core.cli.encode_slide import (
    DONE,
    SOME_FAILED,
    check_weights,
    display_of,
    follow_outcomes,
    tell_end,
    write_summary,
)
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.logs import notice
from atlaspatch_core.cli.options import MESSAGES, MODE
from atlaspatch_core.cli.recipe_warnings import tell_recipe
from atlaspatch_core.cli.run_request import RunOptions, RunRequest
from atlaspatch_core.cli.run_values import WITH_FEATURES, RunPlan, plan_of
from atlaspatch_core.cli.scripts import ScriptCommand
from atlaspatch_core.cli.shared_names import tell_segmenter
from atlaspatch_core.cli.slides import slides_at_rest
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.validity.outcome import Outcome, Status

if TYPE_CHECKING:
    from atlaspatch_core.cli.display import Display
    from atlaspatch_core.discovery.sources import Discovery, SlideSource

Release = Callable[[str], None]


class FirstFailure(Exception):
    """A slide failed, and nobody asked to go on."""


@documented_command(
    "run",
    cls=ScriptCommand,
    section="Process slides",
    summary="One stage, or all, with TRIDENT's options",
    examples=(
        "atlaspatch run --task all --wsi-dir slides --job-dir job --patch-encoder uni_v1 --mag 20 --patch-size 256",
        "atlaspatch run --task seg --wsi-dir slides --job-dir job --segmenter otsu_whole --visualize-contours",
    ),
)
@groups.SLIDES
@groups.TISSUE
@groups.GRID
@groups.ENCODERS
@groups.PICTURES
@groups.SPEED
@MODE
@MESSAGES
@click.pass_context
def run_command(context: click.Context, **_: object) -> None:
    """Take one stage, or all, for the slides of a folder, with the options of TRIDENT's batch command.

    Options may be written with underscores, as in scripts for TRIDENT (--job_dir), and lists with blanks (--gpus 0 1).
    Results lie in JOB_DIR: outlines in contours_geojson/, coords, features and embeddings of a slide together in
    <mag>x_<patch>px_<overlap>px_overlap/patches/<slide>.h5. What is there already and still valid is reused; what is
    not says why. 'docs/options.md' maps every option of TRIDENT and AtlasPatch.

    Exit code: 0 when every slide is done, 1 when one or more failed, 2 for wrong usage.
    """
    request = RunRequest.of(context)
    mode = request.mode

    def work(hooks: Hooks) -> int:
        tell_segmenter(context, trident=True)
        tell_precision(context, request.options.devices)
        return run(request, hooks)

    carry_out(context, work, mode.output, verbose=mode.verbose, log_file=mode.log_file)


def run(request: RunRequest, hooks: Hooks) -> int:
    """Do the work, print it, and return the exit code."""
    options, mode = request.options, request.mode
    plan = plan_of(request)
    tell_recipe(plan.recipe, strict=mode.strict)
    if options.task in WITH_FEATURES:
        check_weights(plan.recipe)
    discovery = slides_at_rest(plan.recipe.project, strict=mode.strict, shard=mode.shard)

    if mode.dry_run:
        return tell_plan("run", WorkPlan(plan.recipe, discovery, plan.steps, plan.trusted), mode, hooks)

    from atlaspatch_core.operations.tracking.tracker import Command

    display = display_of(mode, len(discovery.paths), len(plan.steps))
    command = Command("run", mode.arguments, plan.steps, plan.trusted)
    outcomes = outcomes_of(discovery, plan, options, display.patches, force=mode.force)

    def show(outcome: Outcome) -> None:
        if hooks.report and not mode.shard:
            hooks.report(plan.recipe, outcome)
        display.add(outcome)
        if not options.skip_errors:
            stop_at_failure(display, outcome, plan)

    try:
        follow_outcomes(outcomes, plan.recipe, discovery, command, display, show)
    except FirstFailure as failure:
        notice(f"{failure}; --skip-errors goes on with the others.")
    failed = tell_end(plan.recipe, discovery, display, strict=mode.strict)
    exported = export(options, plan, display) if options.layout == "trident" else True
    code = DONE if exported and not failed else SOME_FAILED
    if mode.as_json:
        write_summary("run", mode, code, chain(*display.outcomes.values()), discovery)
    return code


def stop_at_failure(display: "Display", outcome: Outcome, plan: RunPlan) -> None:
    """Raise FirstFailure once all that can be said of a failed slide was said."""
    of_slide = display.outcomes[outcome.stem]
    failed = any(step.status is Status.FAILED and not step.lacks_coords for step in of_slide)
    stopped = of_slide[0].status is Status.FAILED and of_slide[0].step.kind == "slide"
    if failed and (stopped or len(of_slide) == len(plan.steps)):
        raise FirstFailure(f"Stopped at the first slide that failed, {outcome.stem}")


def outcomes_of(
    discovery: "Discovery",
    plan: RunPlan,
    options: RunOptions,
    on_patches: Callable[[str, int, int], None],
    *,
    force: bool,
) -> Generator[Outcome]:
    """Yield what becomes of every slide; closing this ends the work, and waits until what is being written is whole."""
    from atlaspatch_core.pipeline.processing import clash_outcomes, process
    from atlaspatch_core.pipeline.workers.devices import by_size, by_workers
    from atlaspatch_core.pipeline.workers.worker import WorkerTask

    yield from clash_outcomes(discovery)
    in_order = by_size(discovery.sources) if len(plan.devices) > 1 else discovery.sources
    with slides_at_hand(in_order, plan, options, force=force) as (sources, release):
        if len(plan.devices) > 1:
            settings = WorkerTask(plan.recipe.project, plan.steps, plan.trusted, force)
            yield from by_workers(plan.devices, settings, sources, on_patches, release)
        else:
            in_turn = released(sources, release)
            recipe, steps, trusted = plan.recipe, plan.steps, plan.trusted
            yield from process(in_turn, recipe, steps=steps, trusted=trusted, force=force, on_patches=on_patches)


@contextmanager
def slides_at_hand(
    sources: Iterable["SlideSource"], plan: RunPlan, options: RunOptions, *, force: bool
) -> Iterator[tuple[Iterable["SlideSource"], Release]]:
    """Give the slides, copied ahead where there is a cache, and what is to be called when one is read no more."""
    cache = options.wsi_cache
    if cache is None:
        yield sources, lambda _: None
        return
    from atlaspatch_core.discovery.staging import Stager
    from atlaspatch_core.pipeline.processing import up_to_date

    sources = tuple(sources)
    is_all_read = force or options.dump_patches
    stems = [source.stem for source in sources]
    unread = frozenset[str]() if is_all_read else up_to_date(plan.recipe, stems, plan.steps)
    with Stager(sources, cache, options.cache_batch_size, lambda source: source.stem not in unread) as stager:
        yield stager, stager.release


def released(sources: Iterable["SlideSource"], release: Release) -> Iterator["SlideSource"]:
    """Yield slides, and release each when the next is asked for."""
    for source in sources:
        yield source
        release(source.stem)


def export(options: RunOptions, plan: RunPlan, display: "Display") -> bool:
    """Write what was made under TRIDENT's names, say what could not be, and return whether all could."""
    from atlaspatch_core.errors import NoSlides
    from atlaspatch_core.interop.export import Choice, Target, export_selected, find_layout, select_folder

    output = plan.recipe.project.output
    choice = Choice(geometries=frozenset({plan.recipe.project.geometry[0].name}))
    try:
        selection = select_folder(output, choice, sorted(display.outcomes))
    except NoSlides:
        return True
    fates = list(export_selected(selection, Target(output, find_layout(options.layout))))
    for exported in fates:
        if not exported.fate.fine:
            display.say(f"{exported.stem}: not written for TRIDENT: {exported.why or exported.fate}")
    return all(exported.fate.fine for exported in fates)
