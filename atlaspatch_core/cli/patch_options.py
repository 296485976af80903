"""Options that decide which patches there are: their geometry, and the tissue they lie on."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import POSITIVE, SHARE, group, option
from atlaspatch_core.cli.types import Number

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
