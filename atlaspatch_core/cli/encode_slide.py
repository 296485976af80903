"""``atlaspatch encode-slide``: slides in, one file per slide out."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli import options as groups
from atlaspatch_core.cli.declaring import documented_command, panel
from atlaspatch_core.cli.devices import GPUS, check_devices, tell_precision
from atlaspatch_core.cli.dry_run import WorkPlan, tell_plan
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.recipe_warnings import tell_recipe
from atlaspatch_core.cli.shards import SHARD_OPTION
from atlaspatch_core.cli.shared_names import tell_segmenter, tell_shared_names_of
from atlaspatch_core.cli.slides import left_out_line, slides_at_rest
from atlaspatch_core.cli.values import RunMode, check_encoders, check_scale, encode_project, run_mode
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.errors import AtlasPatchError, RemoteCodeNotAllowed
from atlaspatch_core.validity.outcome import Outcome, Status

if TYPE_CHECKING:
    from atlaspatch_core.cli.display import Display
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.operations.tracking.tracker import Command
    from atlaspatch_core.validity.recipe import Recipe

DONE, SOME_FAILED = 0, 1


@documented_command(
    "encode-slide",
    section="Process slides",
    summary="Slides to masks, patches, features, embeddings",
    examples=(
        "atlaspatch encode-slide slides --output out --patch-encoders uni_v2 --patch-size 256 --target-mag 20",
        "atlaspatch encode-slide a.svs --output out --slide-encoders titan --patch-size 512 --target-mag 20 --dry-run",
    ),
)
@groups.SLIDES
@groups.ENCODERS
@groups.LOADING
@groups.GEOMETRY
@groups.TISSUE
@groups.FILTERS
@groups.PICTURES
@groups.RUNTIME
@panel("Runtime", GPUS, SHARD_OPTION)
@groups.MODE
@groups.MESSAGES
@click.pass_context
def encode_slide(context: click.Context, **_: object) -> None:
    """Compute tissue mask, patch coordinates, patch features and slide embeddings of WSI_PATH.

    WSI_PATH is a slide, a folder of slides, or a pattern such as 'slides/**/*.svs'; several may be given. Each slide
    gets one file, OUTPUT/patches/STEM.h5. What is there already and still valid is reused; what is not says why.

    Exit code: 0 when every slide is done, 1 when one or more failed or had to be left out, 2 for wrong usage.
    """
    check_encoders(context)
    check_scale(context)
    gpus = context.params["gpus"]
    if gpus and context.params["feature_device"]:
        raise click.UsageError("either --gpus or --feature-device")
    mode = run_mode(context)

    def work(hooks: Hooks) -> int:
        from atlaspatch_core.pipeline.workers.devices import devices_of

        tell_segmenter(context)
        devices = devices_of(gpus) if gpus else (context.params["device"],)
        of_features = context.params["feature_device"]
        if not mode.dry_run:
            check_devices(*devices, of_features)
        tell_precision(context, (of_features,) if of_features else devices)
        recipe = recipe_of(context, devices)
        tell_recipe(recipe, strict=mode.strict)
        discovery = slides_at_rest(recipe.project, strict=mode.strict, shard=mode.shard)
        if mode.dry_run:
            return tell_plan("encode-slide", WorkPlan(recipe, discovery), mode, hooks)
        return run("encode-slide", recipe, discovery, mode, devices, hooks)

    carry_out(context, work, mode.output, verbose=mode.verbose, log_file=mode.log_file)


def run(
    name: str, recipe: "Recipe", discovery: "Discovery", mode: RunMode, devices: Sequence[str], hooks: Hooks
) -> int:
    """Do the work of the command of this name, print it, and return the exit code.

    Of shards no hook hears: many processes on many machines would write to one database.
    """
    from atlaspatch_core.operations.tracking.tracker import Command
    from atlaspatch_core.pipeline.workers.devices import process_discovered

    command = Command(name, mode.arguments)
    display = display_of(mode, len(discovery.paths), len(recipe.stages))
    outcomes = process_discovered(discovery, recipe, devices, force=mode.force, on_patches=display.patches)

    def show(outcome: Outcome) -> None:
        if hooks.report and not mode.shard:
            hooks.report(recipe, outcome)
        display.add(outcome)

    follow_outcomes(outcomes, recipe, discovery, command, display, show)
    code = SOME_FAILED if tell_end(recipe, discovery, display, strict=mode.strict) else DONE
    if mode.as_json:
        write_summary(name, mode, code, chain(*display.outcomes.values()), discovery)
    return code


def display_of(mode: RunMode, slides: int, steps: int) -> "Display":
    """Return what shows a run of so many slides, each of so many steps."""
    from atlaspatch_core.cli.display import Display

    return Display(slides, steps, verbose=mode.verbose, quiet=mode.quiet, to_stderr=mode.as_json)


def write_summary(name: str, mode: RunMode, code: int, outcomes: Iterable[Outcome], discovery: "Discovery") -> None:
    """Print what became of slides and cases as JSON."""
    from atlaspatch_core.cli.run_summary import summary_of

    summary_of(name, mode.output, code, outcomes, (omission.why for omission in discovery.left_out)).write()


def follow_outcomes(
    outcomes: Generator[Outcome],
    recipe: "Recipe",
    discovery: "Discovery",
    command: "Command",
    display: "Display",
    show: Callable[[Outcome], None],
    cases: int | None = None,
) -> None:
    """Record outcomes in the output folder, and show them, as they come; ``cases`` is how many the run embeds."""
    from atlaspatch_core.operations.tracking.tracker import Tracker
    from atlaspatch_core.storage.atomic import make_folder
    from atlaspatch_core.validity.canonical_names import with_canonical_names

    make_folder(recipe.project.output)
    project = with_canonical_names(recipe.project, recipe.encoders)
    with display, closing(outcomes), Tracker(project, discovery, command, cases=cases) as tracker:
        for outcome in outcomes:
            tracker.record_outcome(outcome)
            show(outcome)


def tell_end(recipe: "Recipe", discovery: "Discovery", display: "Display", *, strict: bool) -> bool:
    """Print the last lines of a run; tell whether a slide failed, was left out, or with ``strict`` has a warning."""
    from atlaspatch_core.cli.printing import summary

    display.say_unless_quiet(summary(display.outcomes, recipe.project.output))
    if discovery.left_out:
        display.say(left_out_line(discovery))
    return bool(discovery.left_out) or went_wrong(display.outcomes, strict=strict)


def went_wrong(slides: Mapping[str, Sequence[Outcome]], *, strict: bool) -> bool:
    """Tell whether a slide failed, or with ``strict`` has a warning."""
    from atlaspatch_core.cli.printing import fate_of, slides_with_warnings

    failed = Status.FAILED in map(fate_of, slides.values())
    return failed or (strict and slides_with_warnings(slides.values()) > 0)


def recipe_of(context: click.Context, devices: Sequence[str]) -> "Recipe":
    """Return what the options ask for, on the first of the devices; where it is the only one, slides are read soon.

    Raises click.UsageError for names and sizes that do not go together.
    """
    project = encode_project(context, slides=context.params["wsi_path"])
    runtime = project.runtime.model_copy(update={"device": devices[0]})
    if len(devices) == 1:
        from atlaspatch_core.isolation.leases import start_ahead

        start_ahead(project.plugins)
    return checked_recipe(project.model_copy(update={"runtime": runtime}))


def checked_recipe(project: "Project") -> "Recipe":
    """Return the recipe of a project. Raises click.UsageError for names that do not exist, or decide nothing."""
    from atlaspatch_core.validity.recipe import make_recipe

    try:
        recipe = make_recipe(project)
    except RemoteCodeNotAllowed as error:
        raise click.UsageError(f"{error}, or add --allow-remote-code with its name") from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    check_weights(recipe)
    tell_shared_names_of(project)
    return recipe


def check_weights(recipe: "Recipe", files: Collection[Path] | None = None) -> None:
    """Raise click.UsageError when weights are given for a network that does not run: probably a wrong name.

    ``files`` are those that were typed; all that the project has by default.
    """
    from atlaspatch_core.validity.given_weights import unused_weights

    encoders = [stage.encoder for stage in recipe.stages if stage.encoder]
    of_tissue = [network.name for network in recipe.segmentation.networks]
    names = [name for name, path in recipe.project.weights.items() if files is None or path in files]
    unused = unused_weights(names, encoders, of_tissue)
    if unused:
        running = ", ".join([*sorted(encoder.name for encoder in encoders), *of_tissue])
        raise click.UsageError(
            f"--patch-encoder-ckpt-path names {', '.join(unused)}, which does not run here; what runs is {running}."
        )
