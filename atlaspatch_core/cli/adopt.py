"""``atlaspatch adopt``: results of TRIDENT, AtlasPatch and CLAM become ours, without computing what is the same."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.adopt_inputs import AdoptOptions, read_inputs
from atlaspatch_core.cli.completion import completion_of
from atlaspatch_core.cli.declaring import FOLDER, documented_command
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.cli.options import LOADING
from atlaspatch_core.cli.progress import progress
from atlaspatch_core.cli.result_folders import result_options
from atlaspatch_core.cli.types import NumberOr
from atlaspatch_core.cli.values import typed_options
from atlaspatch_core.errors import AtlasPatchError, UnwritableOutput
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from rich.text import Text

    from atlaspatch_core.interop.adopt.result import AdoptOutcome

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


@documented_command(
    "adopt",
    section="Results from and for others",
    summary="Take over results of others",
    examples=(
        "atlaspatch adopt trident_job --slides slides --output out --verify 16",
        "atlaspatch adopt clam_results --slides slides --output out --patch-encoder uni_v1",
    ),
)
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
    "--patch-encoder",
    default="",
    metavar="NAME",
    shell_complete=completion_of("patch encoders"),
    help="What made features that do not say it, such as CLAM's.",
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
