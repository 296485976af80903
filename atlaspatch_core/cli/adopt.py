"""``atlaspatch adopt``: results of TRIDENT, AtlasPatch and CLAM become ours, without computing what is the same."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import FOLDER
from atlaspatch_core.cli.encode_slide import check_weights
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.cli.options import LOADING
from atlaspatch_core.cli.progress import progress
from atlaspatch_core.cli.result_folders import result_options, with_slides
from atlaspatch_core.cli.types import NumberOr
from atlaspatch_core.cli.values import typed_options
from atlaspatch_core.errors import AtlasPatchError, UnwritableOutput
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from rich.text import Text

    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.interop.adopt.result import AdoptOutcome
    from atlaspatch_core.interop.adopt.sampling import Verify
    from atlaspatch_core.interop.adopt.settings import AdoptSettings
    from atlaspatch_core.layouts.found import ResultFolder
    from atlaspatch_core.slides.sections import SeriesChoice
    from atlaspatch_core.validity.recipe import Recipe

DONE, SOME_BAD, INTERRUPTED = 0, 1, 130
ODD = "odd"
"""What is said of the slide itself, beside its results."""
STYLES = {
    "taken over": "green",
    "verified": "green",
    "accepted": "cyan",
    "unverified": "yellow",
    "left out": "yellow",
    "failed": "bold",
}
CURE = (
    "Unverified results are marked; the next run computes anew those that the project asks for. To prove them, adopt "
    "again with --verify 16, or every row with --verify all; to take them as they are, with --accept-unverified."
)


@dataclass(frozen=True, slots=True)
class AdoptOptions:
    """What was typed."""

    folder: Path
    output: Path | None
    project_file: Path | None
    slides: Path | None
    recursive: bool
    mpp_csv: Path | None
    series: "SeriesChoice"
    verify: "Verify | None"
    accept_unverified: bool
    keep_patches: bool
    patch_encoder: str
    patch_encoder_ckpt_path: tuple[tuple[str, Path], ...]
    """Whose weights, and where they lie."""
    feature_plugin: tuple[Path, ...]
    dry_run: bool

    @property
    def weights(self) -> dict[str, Path]:
        """Encoder to its local weights."""
        return {name: path.resolve() for name, path in self.patch_encoder_ckpt_path}


@click.command()
@click.option(
    "--output",
    "-o",
    type=FOLDER,
    help="Where the results go. Without a project file there, one that asks for what DIR holds is written.",
)
@result_options(
    project="The project that the results become part of, instead of --output.",
    slides="; the project's own when left out.",
    mpp_csv=". It wins over what the slide says.",
)
@click.option(
    "--verify",
    metavar="N|all",
    type=NumberOr(("all",), least=1),
    help="Encode N patches of every slide and encoder again, some of each kind: over the slide's edge, at the tissue "
    "rim, inside, the first and the last; features that are the same count as computed. What was shown is said. A "
    "sample speaks for its rows alone: 'all' tries every one.",
)
@click.option(
    "--accept-unverified",
    is_flag=True,
    help="Take what cannot be proven as it is. It counts as computed, and says who accepted it, and when.",
)
@click.option(
    "--keep-patches",
    is_flag=True,
    help="Draw the outlines of tissue round the patches, so that exactly these stay, rather than take DIR's outlines.",
)
@click.option(
    "--patch-encoder", default="", metavar="NAME", help="What made features that do not say it, such as CLAM's."
)
@LOADING
@click.option("--dry-run", is_flag=True, help="Say what would become of every result, and write nothing.")
@click.option("--verbose", "-v", is_flag=True, help="Log every detail.")
@click.pass_context
def adopt(context: click.Context, verbose: bool, **_: object) -> None:
    """Take over the results in DIR, which TRIDENT, AtlasPatch or CLAM wrote, without computing what is the same.

    Outlines of tissue become the slides' masks. Coords that our grid gives from them count as computed. Features are
    matched to the patches by x and y; whose weights nobody recorded they stay unverified until some are computed again
    (--verify) or a person accepts them (--accept-unverified). DIR is not changed, and nothing that the output holds is
    replaced; doing it twice changes nothing.

    Exit code: 0 when everything was taken over or marked, 1 when something failed or was left out, 2 for wrong usage.
    """
    with logging_to_stderr(verbose):
        try:
            context.exit(_run(typed_options(AdoptOptions, context)))
        except AtlasPatchError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted: what was taken over stays; run again to go on.", err=True)
            context.exit(INTERRUPTED)


def _run(options: AdoptOptions) -> int:
    from rich.text import Text

    from atlaspatch_core.interop.adopt.adoption import adopt_folder
    from atlaspatch_core.interop.adopt.settings import AdoptSettings

    settings = AdoptSettings(
        options.verify or 0, options.accept_unverified, options.keep_patches, options.dry_run, options.patch_encoder
    )
    try:
        results, recipe, discovery, notes = read_inputs(options, settings)
    except UnwritableOutput:
        raise
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    for note in notes:
        click.echo(f"note: {note}", err=True)
    all_outcomes: list[AdoptOutcome] = []
    slides = len(results.stems())
    adopting = closing(adopt_folder(results, recipe, discovery.sources, settings))
    with adopting as adopted, progress("slides", slides) as bar:
        for stem, outcomes in adopted:
            bar.say(as_line(stem, outcomes))
            if odd := warnings_of(outcomes):
                bar.say(Text(f"{stem}: WARNING: {'; '.join(odd)}", "yellow"))
            all_outcomes += outcomes
            bar.advance()
    click.echo(summary(all_outcomes, slides, recipe.project.output, dry_run=settings.dry_run))
    return SOME_BAD if any(outcome.bad for outcome in all_outcomes) else DONE


def read_inputs(
    options: AdoptOptions, settings: "AdoptSettings"
) -> "tuple[ResultFolder, Recipe, Discovery, list[str]]":
    """Return what lies there, what it becomes part of, and the slides."""
    from atlaspatch_core.config.project import FILE_NAME, load_project
    from atlaspatch_core.discovery.find import find_slides
    from atlaspatch_core.discovery.result_folders import check_code_wanted
    from atlaspatch_core.layouts.found import FolderLayout
    from atlaspatch_core.layouts.recognise import recognise_folder
    from atlaspatch_core.validity.recipe import make_recipe

    folder, output, file, slides = options.folder, options.output, options.project_file, options.slides
    if (output is None) == (file is None):
        raise click.UsageError("give either --output or --project")
    results = recognise_folder(folder)
    if results.layout is FolderLayout.OURS:
        raise click.UsageError(f"{folder} is laid out as atlaspatch's own results: name it as the output of a project")
    notes: list[str] = []
    named = file or (output or Path()) / FILE_NAME
    if output and not named.exists():
        project, notes = _derived(results, output, options, settings)
    else:
        project = load_project(named)
        if file is None:
            check_code_wanted(_without_plugins(project, options), named)
        project, notes = _with_models(project, options, named)
    project = with_slides(project, slides, options.mpp_csv, options.series, recursive=options.recursive)
    if not project.slides.folders:
        raise click.UsageError("say where the slides are: --slides")
    if project.slides.has_pseudonyms:
        raise click.UsageError(
            f"the results in {folder} are called by the names of slides' files, and {named} gives slides pseudonyms; "
            "adopt them into a project without"
        )
    _check_outside(project.output, folder)
    recipe = make_recipe(project)
    check_weights(recipe, options.weights)
    return results, recipe, find_slides(project), notes


def _without_plugins(project: "Project", options: AdoptOptions) -> "Project":
    """Return a project without the plugins that were typed: whoever types them wants their code executed."""
    typed = {path.resolve() for path in options.feature_plugin}
    plugins = tuple(path for path in project.plugins if path.resolve() not in typed)
    return project.model_copy(update={"plugins": plugins})


def _with_models(project: "Project", options: AdoptOptions, file: Path) -> "tuple[Project, list[str]]":
    """Return a project with the weights and plugins that were typed, and a note where its file has others."""
    weights = {name: path for name, path in options.weights.items() if project.weights.get(name) != path}
    present = {path.resolve() for path in project.plugins}
    plugins = [path.resolve() for path in options.feature_plugin if path.resolve() not in present]
    changes = {"weights": {**project.weights, **weights}, "plugins": (*project.plugins, *plugins)}
    named = ", ".join([*weights, *(path.name for path in plugins)])
    note = f"{file} does not name {named} as typed: what is verified with it is stale for the project until it does"
    return project.model_copy(update=changes), [note] if named else []


def _check_outside(output: Path, folder: Path) -> None:
    """Raise click.UsageError where the output would be written into the folder of results."""
    if folder.resolve() in (output.resolve(), *output.resolve().parents):
        raise click.UsageError(f"the output {output} lies in {folder}, which is not to be changed; name another")


def _derived(
    results: "ResultFolder", output: Path, options: AdoptOptions, settings: "AdoptSettings"
) -> "tuple[Project, list[str]]":
    """Return a project that asks for what the folder holds; its file is written into the output."""
    from atlaspatch_core.config.project import FILE_NAME, make_project
    from atlaspatch_core.discovery.find import discover
    from atlaspatch_core.discovery.sections import SectionSearch
    from atlaspatch_core.discovery.slide_tables import read_mpp_csv
    from atlaspatch_core.interop.adopt.derived_project import as_toml, derive_project
    from atlaspatch_core.storage.atomic import replacing

    slides, recursive, mpp_csv = options.slides, options.recursive, options.mpp_csv
    if slides is None:
        raise click.UsageError("say where the slides are: --slides")
    _check_outside(output, results.folder)
    mpp_by_name = read_mpp_csv(mpp_csv) if mpp_csv else {}
    sections = SectionSearch(options.series)
    sources = discover([slides], recursive=recursive, mpp_by_name=mpp_by_name, sections=sections).by_stem
    models = {
        "weights": {name: str(path) for name, path in options.weights.items()},
        "plugins": [str(path.resolve()) for path in options.feature_plugin],
    }
    values, notes = derive_project(
        results, sources, slides, recursive=recursive, encoder=settings.encoder, models=models
    )
    if mpp_csv:
        values["slides"]["mpp_csv"] = str(mpp_csv.resolve())
    if options.series is not None:
        values["slides"]["series"] = options.series
    path = output / FILE_NAME
    if not settings.dry_run:
        text = as_toml(values, f"Written by 'atlaspatch adopt': what {results.layout} made in {results.folder}")
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        notes.append(f"{path} was written: it asks for what {results.folder} holds; change it as you like")
    return make_project(values, origin=str(path), folder=output.resolve()), notes


def as_line(stem: str, outcomes: "Sequence[AdoptOutcome]") -> "Text":
    """Return what became of a slide's results, on one line."""
    from rich.text import Text

    phrases = [
        Text.assemble(f"{outcome.what} ", (fate := outcome.fate.value, STYLES.get(fate, "")), _reason(outcome))
        for outcome in outcomes
        if outcome.fate.value != ODD
    ]
    return Text.assemble((stem, "bold"), ": ", Text(" · ").join(phrases) if phrases else "nothing to take over")


def warnings_of(outcomes: "Iterable[AdoptOutcome]") -> list[str]:
    """Return what a person should know of a slide, a clause each."""
    return [outcome.why for outcome in outcomes if outcome.fate.value == ODD]


def _reason(outcome: "AdoptOutcome") -> str:
    return f" ({outcome.why})" if outcome.why else ""


def summary(outcomes: "Iterable[AdoptOutcome]", slides: int, output: Path, *, dry_run: bool) -> str:
    """Return counts by output and fate, and what can be done about unverified ones."""
    outcomes = list(outcomes)
    counts = Counter((outcome.what, outcome.fate.value) for outcome in outcomes if outcome.fate.value != ODD)
    warned = len({outcome.stem for outcome in outcomes if outcome.fate.value == ODD})
    odd = f", {format_count(warned, 'slide')} with warnings" if warned else ""
    whats = list(dict.fromkeys(what for what, _ in counts))
    width = max(map(len, whats), default=0)
    lines = [f"{what.ljust(width)}  {_fates(what, counts)}" for what in whats]
    head = f"{format_count(slides, 'slide')}{odd}, {'nothing was written' if dry_run else f'output {output}'}"
    cure = [CURE] if any(fate == "unverified" for _, fate in counts) else []
    return "\n".join(["", *lines, head, *cure])


def _fates(what: str, counts: Mapping[tuple[str, str], int]) -> str:
    return ", ".join(f"{count} {fate}" for (name, fate), count in counts.items() if name == what)
