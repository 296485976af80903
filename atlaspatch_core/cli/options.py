"""The options of the commands, in groups: names, short forms, types and defaults that AtlasPatch users know."""

import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from atlaspatch_core.cli.types import Checkpoint, Device, Names, Number, Several, Slides

Decorator = Callable[[Any], Any]

POSITIVE = click.IntRange(min=1)
SHARE = Number(min=0, max=1)
EXISTING = click.Path(exists=True, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def cpu_count() -> int:
    """Return how many cores there are, at least 1."""
    return os.cpu_count() or 1


def group(*options: Decorator) -> Decorator:
    """Return one decorator for several options; the help lists them in this order."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def option(*names: str, **settings: Any) -> Decorator:
    """Return a click option that shows its default."""
    return click.option(*names, **{"show_default": True, **settings})


OUTPUT = option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder for all that is made.")

OPENING = group(
    option(
        "--custom-mpp-keys",
        type=Several(),
        multiple=True,
        help="Further properties of slides that state µm per px, separated by commas or blanks; they are asked before "
        "those that are known.",
    ),
    option(
        "--reader-type",
        help="Reader that opens every slide. By default each is opened by the one that knows its content. A wrong name "
        "is answered with a list.",
    ),
)

FINDING = group(
    option(
        "--recursive",
        "--search-nested",
        "recursive",
        is_flag=True,
        help="Search the folders below, too; a single file needs no search.",
    ),
    option(
        "--wsi-ext",
        type=Several(),
        multiple=True,
        help="Suffixes that count as slides in folders, such as .svs or .ome.tif, in any case of letters, separated by "
        "commas or blanks. Default: all that can be read.",
    ),
    option(
        "--custom-list-of-wsis",
        type=EXISTING_FILE,
        help="Table of the slides to take, and no others: the column wsi, paths from the folder of slides with suffix, "
        "and perhaps mpp, µm per px of level 0.",
    ),
    option(
        "--mpp-csv",
        type=EXISTING_FILE,
        help="Table with the columns wsi and mpp: µm per px of level 0. It wins over what the slide says; rows find "
        "their slide by the file name without suffix.",
    ),
    OPENING,
)

SLIDES = group(click.argument("wsi_path", type=Slides(), nargs=-1, required=True), OUTPUT, FINDING)

LOADING = group(
    option(
        "--patch-encoder-ckpt-path",
        type=Checkpoint(),
        multiple=True,
        help="Local weights of an encoder or of a network of the segmenter, instead of those it declares; may be "
        "repeated.",
    ),
    option(
        "--feature-plugin",
        type=EXISTING_FILE,
        multiple=True,
        help="Python file that declares further encoders; may be repeated. Its code is executed.",
    ),
    option(
        "--feature-precision",
        type=click.Choice(["float32", "float16", "bfloat16"], case_sensitive=False),
        default="float16",
        help="Number format in which patch encoders compute; on a CPU float16 becomes float32.",
    ),
)

ENCODERS = group(
    option(
        "--slide-encoders",
        type=Names(),
        help="Slide encoders, separated by commas or blanks; the patch encoders that they need run by themselves. "
        "Required, unless --patch-encoders is given.",
    ),
    option("--patch-encoders", type=Names(), help="Further patch encoders, separated by commas or blanks."),
    LOADING,
)

CASES = group(
    click.argument("manifest_path", type=EXISTING_FILE),
    OUTPUT,
    OPENING,
    option(
        "--patient-encoders",
        type=Names(),
        required=True,
        help="Patient encoders, separated by commas or blanks: moozy, or mean- and a patch encoder. The patch encoders "
        "that they need run by themselves.",
    ),
    LOADING,
)

GEOMETRY = group(
    option("--patch-size", type=POSITIVE, required=True, help="Side of a patch, px at the target scale."),
    option(
        "--step-size",
        type=POSITIVE,
        show_default="the patch size",
        help="Distance between neighbouring patches, px at the target scale; below the patch size they overlap.",
    ),
    option(
        "--target-mag",
        type=click.IntRange(1, 120),
        help="Target magnification: 20 means 0.5 µm per px. Required, unless --target-mpp is given.",
    ),
    option("--target-mpp", type=Number(min=0, min_open=True), help="Target scale, µm per px, instead of --target-mag."),
    option(
        "--scale",
        type=click.Choice(["true", "nominal"]),
        default="true",
        help="What decides the scale of a slide: its µm per px, or the ratio of nominal magnifications.",
    ),
    option(
        "--rule",
        type=click.Choice(["lattice", "atlaspatch"]),
        default="lattice",
        help="Which patches are kept: those with enough tissue (--min-tissue), or those that pass AtlasPatch's test of "
        "four points.",
    ),
    option(
        "--edge",
        type=click.Choice(["pad", "drop"]),
        default="pad",
        help="Patches over the right or bottom edge of the slide: filled with white, or left out.",
    ),
    option(
        "--downscale",
        type=click.Choice(["area", "dct"]),
        default="area",
        help="How features get the px of patches coarser than the level that is read: averaged, or, where they are an "
        "eighth of a JPEG level's scale, decoded at that scale: twice as fast, 0.6 of 255 different on average. Other "
        "scales gain less, and are averaged anyway.",
    ),
)

TISSUE = group(
    option(
        "--segmenter",
        default="otsu",
        help="What finds the tissue. otsu and otsu_tiled need no weights; sam2, hest and grandqc are networks, and "
        "look for theirs where --patch-encoder-ckpt-path says, or on the Hugging Face hub.",
    ),
    option(
        "--masks",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder of masks that take the place of the segmenter's, found by the slide's name: STEM.geojson (level-0 "
        "px; ours, QuPath's, TRIDENT's), or an image STEM.png, .jpg or .tif over the whole slide (not zero is tissue). "
        "Outlines that were edited in the output folder win over them.",
    ),
    option(
        "--seg-conf-thresh",
        type=Number(min=0, max=1, min_open=True, max_open=True),
        default=0.5,
        help="A network calls tissue what it gives a higher probability. The other segmenters do not use it.",
    ),
    option(
        "--remove-holes/--fill-holes",
        default=True,
        help="Whether holes of 0.01 mm² and more are no tissue, or all holes are filled (which is TRIDENT's default).",
    ),
    option(
        "--remove-artifacts",
        is_flag=True,
        help="Take folds, foreign bodies, pen marks, air bubbles and blur away from the tissue, by GrandQC's artefact "
        "network. Nothing is ever added.",
    ),
    option(
        "--remove-penmarks",
        is_flag=True,
        help="Take away tissue under thin pen strokes, too. Ink itself is no tissue to otsu anyway; the other "
        "segmenters ask GrandQC's artefact network.",
    ),
    option(
        "--tissue-thresh",
        type=SHARE,
        default=0.0,
        help="Least area of one piece of tissue, as a share of the slide's area; smaller pieces are ignored. The share "
        "of a single patch is --min-tissue.",
    ),
    option(
        "--min-tissue",
        "--min-tissue-proportion",
        "min_tissue",
        type=SHARE,
        default=0.1,
        help="Least tissue share of a patch's own area (TRIDENT's name for it is the longer one; its default is 0). "
        "--rule atlaspatch does not use it.",
    ),
    option(
        "--fast-mode/--no-fast-mode",
        default=True,
        help="Whether the tissue mask alone decides, or patches are also read, and dropped when nearly all white or "
        "black.",
    ),
    option(
        "--white-thresh",
        type=POSITIVE,
        default=15,
        help="With --no-fast-mode: a bright px of less saturation (0 to 255) is white.",
    ),
    option(
        "--black-thresh",
        type=POSITIVE,
        default=50,
        help="With --no-fast-mode: a px of less gray value (0 to 255) is black.",
    ),
    option(
        "--min-sharpness",
        type=Number(min=0, min_open=True),
        show_default="off",
        help="With --no-fast-mode: drop blurred patches, of less than this share of fine detail (variance of the "
        "Laplacian over that of the gray values, at 1 µm per px). Sharp tissue has 0.2 to 2.5; 0.15 is a good start.",
    ),
    option(
        "--max-pen",
        type=Number(min=0, max=1, max_open=True),
        show_default="off",
        help="With --no-fast-mode: drop patches with a larger share under ink. Ink is sought on the slide's overview.",
    ),
)

PICTURES = group(
    option("--save-images", is_flag=True, help="Write every patch as a PNG under images/<stem>/."),
    option("--visualize-grids", is_flag=True, help="Draw the patches on the slide, under visualization/."),
    option("--visualize-mask", is_flag=True, help="Draw the tissue mask on the slide, under visualization/."),
    option("--visualize-contours", is_flag=True, help="Draw the outlines of the tissue, under visualization/."),
)

RUNTIME = group(
    option(
        "--device",
        type=Device(),
        default="cuda",
        help="Where the segmenter and the slide encoders run: cpu, cuda, cuda:N or mps. Without CUDA it is the CPU, "
        "with a warning.",
    ),
    option(
        "--feature-device",
        type=Device(),
        show_default="the same as --device",
        help="Where the patch encoders run.",
    ),
    option("--feature-batch-size", type=POSITIVE, default=32, help="Patches that an encoder takes at once."),
    option(
        "--feature-num-workers",
        type=click.IntRange(min=0),
        default=4,
        help="At least so many threads read patches ahead of the encoders; where --patch-workers is higher, it counts.",
    ),
    option(
        "--seg-batch-size",
        type=POSITIVE,
        default=1,
        help="Most overviews that the segmenter takes at once; it takes one at present.",
    ),
    option("--write-batch", type=POSITIVE, default=8192, help="Most rows in one chunk of the HDF5 file."),
    option(
        "--patch-workers",
        type=POSITIVE,
        default=cpu_count,
        show_default="CPU count",
        help="Threads that read and decode patches, for encoders, filters and pictures.",
    ),
    option(
        "--max-open-slides",
        type=POSITIVE,
        default=200,
        help="Most slides open at once. One or two are at present, whatever the number: it is a bound, never a cause.",
    ),
    option(
        "--skip-existing/--force",
        default=True,
        help="Whether results that are up to date are kept, or everything asked for is made anew. Results of other "
        "encoders stay as long as the coordinates do.",
    ),
    option("--verbose", "-v", is_flag=True, help="Log in detail, and print every step with its time and fingerprint."),
)
