"""``atlaspatch overlay``: numbers that a person has of patches, drawn over their slides."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.completion import completion_of
from atlaspatch_core.cli.declaring import (
    EXISTING,
    EXISTING_FOLDER,
    FOLDER,
    SHARE,
    documented_command,
    option,
)
from atlaspatch_core.cli.overlay_sources import slides_of
from atlaspatch_core.cli.progress import progress
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.types import Number, Whole
from atlaspatch_core.cli.working import carry_out
from atlaspatch_core.errors import AtlasPatchError, InvalidScores
from atlaspatch_core.interop.scores.fields import COLOUR_MAPS, FORMATS, MOST_SHOWN
from atlaspatch_core.interop.scores.fields import FOLDER as OVERLAYS
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.interop.scores import OverlayOptions, ScoredSlide

PERCENT = Number(min=0, max=100)


@reads_only
@documented_command(
    "overlay",
    section="Look at results",
    summary="Draw scores of patches over their slides",
    examples=(
        "atlaspatch overlay out CMU-1-Small-Region --scores attention.csv",
        "atlaspatch overlay out --scores attention/ --column tumour --format png --format ome-tiff --percentiles 1 99",
        "atlaspatch overlay out --attention feather --colour-map coolwarm --ranks",
    ),
)
@click.argument("output_dir", type=EXISTING_FOLDER)
@click.argument("stems", nargs=-1, metavar="[STEM]...")
@option(
    "--scores",
    "source",
    type=EXISTING,
    help="A .csv, .parquet, .npy or .h5 file, or a folder with one for each slide, named by its stem.",
)
@option(
    "--attention",
    metavar="ENCODER",
    shell_complete=completion_of("slide encoders"),
    help="Slide encoder whose attention is drawn, in the place of scores; encode-slide --keep-attention keeps it.",
)
@option("--head", type=Whole(min=0), help="Head of that encoder, from 0.", show_default="the mean of all heads")
@option("--column", help="Column, or dataset, that is shown.", show_default="the only one of numbers")
@option("--geometry", help="Whose patches they are, where the folder has several.", show_default="the only one")
@option("--to", "folder", type=FOLDER, default=OVERLAYS, help="Folder that gets the files.")
@option("--format", "formats", type=click.Choice(FORMATS), multiple=True, default=("png",), help="What is written.")
@option("--longest", type=Whole(16, 16_384), default=2048, help="Longer side of pictures, px.")
@option("--colour-map", type=click.Choice(COLOUR_MAPS), default="turbo", help="Colours from low to high.")
@option(
    "--range",
    "limits",
    type=Number(),
    nargs=2,
    help="Scores of the first and the last colour.",
    show_default="by --percentiles",
)
@option("--percentiles", type=PERCENT, nargs=2, default=(0, 100), help="The same, as percentiles of each slide.")
@option("--ranks", is_flag=True, help="Colour by the rank of a score in its slide, from 0 to 1.")
@option("--opacity", type=SHARE, default=0.5, help="Of the colours over the slide.")
@option("--smooth", type=Number(min=0, max=10), default=0, help="Gaussian blur, in sides of a patch; 0 for none.")
@option("--beyond-tissue", is_flag=True, help="Colour what of a patch lies outside the tissue, too.")
@option("--on-white", is_flag=True, help="Draw over white; the slide is not opened.")
@option("--top", type=Whole(1, MOST_SHOWN), default=16, help="Patches of the sheet with the highest scores.")
@option("--bottom", type=Whole(0, MOST_SHOWN), default=0, help="Patches of the sheet with the lowest scores.")
@option("--include-stale", is_flag=True, help="Take patches that are not up to date, too.")
@click.pass_context
def overlay(context: click.Context, folder: Path, **_: object) -> None:
    """Draw scores of patches, or the attention of a slide encoder, over the slides of an output folder.

    Scores are found by columns x and y (top-left corners in level-0 px), by a column row (0 is the first patch), or by
    their order, a row for each patch. A column stem, or slide_id, tells slides apart in one table. Without STEM it is
    every slide that the scores are of, or that has an embedding of the encoder.

    Files, by --format: png, a picture with a legend; ome-tiff, a pyramid that QuPath and others open at the slide's
    scale; geojson, patches as tiles of QuPath with the score as a measurement; sheet, the patches with the highest
    scores, read at full resolution.

    Exit code: 0 when all was drawn, 1 when a slide was not, 2 for wrong usage.
    """
    carry_out(context, lambda _: draw_all(context), folder)


def draw_all(context: click.Context) -> int:
    """Draw every slide, print what became of it, and return the exit code."""
    from atlaspatch_core.interop.scores import write_overlays

    options, slides, folder = options_of(context), slides_of(context), folder_of(context)
    fates: Counter[bool] = Counter()
    with progress("slides", len(slides)) as bar:
        for stem, read in slides:
            try:
                scored = read()
                written = [*write_overlays(scored, options, folder)]
                bar.say(f"{stem}: {', '.join(map(str, written))}{_blank(scored)}")
            except AtlasPatchError as error:
                bar.say(f"FAILED {error}")
                written = []
            fates[bool(written)] += 1
            bar.advance()
    failed = f", {fates[False]} failed" if fates[False] else ""
    click.echo(f"{format_count(len(slides), 'slide')}: {fates[True]} drawn{failed}; files in {folder}")
    return 1 if fates[False] else 0


def _blank(scored: "ScoredSlide") -> str:
    """Return a clause about patches without a score, or an empty text."""
    count = scored.unscored
    return f"; {count:,} of {len(scored.scores):,} patches have no score and stay blank" if count else ""


def folder_of(context: click.Context) -> Path:
    """Return where the files go, which is made. Raises click.UsageError for one among results, UnwritableOutput."""
    from atlaspatch_core.interop.scores import check_folder
    from atlaspatch_core.storage.atomic import make_folder

    folder: Path = context.params["folder"]
    try:
        check_folder(folder, context.params["output_dir"])
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    make_folder(folder)
    return folder


def options_of(context: click.Context) -> "OverlayOptions":
    """Return how scores are drawn. Raises click.UsageError for ends that are not in order."""
    from atlaspatch_core.interop.scores import OverlayOptions, check_ends

    values = context.params
    try:
        for flag, ends in (("--range", values["limits"]), ("--percentiles", values["percentiles"])):
            if ends is not None:
                check_ends(flag, ends)
    except InvalidScores as error:
        raise click.UsageError(str(error)) from error
    names = OverlayOptions.__dataclass_fields__
    return OverlayOptions(**{name: value for name, value in values.items() if name in names})
