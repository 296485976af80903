"""Options of a geometry: size and scale of patches, which are kept, and the encoders that run on them."""

from pathlib import Path
from typing import Annotated, Literal

from atlaspatch_core.encoders.precision import Precision
from atlaspatch_core.option import Option, option_fields
from atlaspatch_core.patches.filter_spec import FilterSpec
from atlaspatch_core.patches.grid_spec import COARSEST_MPP, LARGEST_PATCH, LARGEST_STEP, Downscale, Edge, Rule, Scale


@option_fields
class GeometryFields:
    """One size and scale of patches, and the encoders that run on them."""

    name: Annotated[
        str,
        Option("Subfolder of the output, and prefix of the assets; may stay empty where there is one geometry."),
    ] = ""
    patch_size: Annotated[
        int,
        Option(
            "Side of a patch, px at the target scale.",
            flags=("--patch-size",),
            gt=0,
            le=LARGEST_PATCH,
            example=256,
            example_counts=True,
        ),
    ]
    step_size: Annotated[
        int | None,
        Option(
            "Distance between neighbouring patches, px at the target scale; below the patch size they overlap.",
            flags=("--step-size",),
            gt=0,
            le=LARGEST_STEP,
            unset="the patch size",
            example=256,
        ),
    ] = None
    target_mag: Annotated[
        float | None,
        Option(
            "Target magnification, up to 120: 20 means 0.5 µm per px. Required, unless µm per px are given instead.",
            flags=("--target-mag",),
            ge=10 / COARSEST_MPP,
            le=120,
            example=20,
            example_counts=True,
        ),
    ] = None
    target_mpp: Annotated[
        float | None,
        Option(
            "Target scale, µm per px, instead of a magnification.",
            flags=("--target-mpp",),
            gt=0,
            le=COARSEST_MPP,
            example=0.5,
        ),
    ] = None
    scale: Annotated[
        Scale,
        Option(
            "What decides the scale of a slide. true: its µm per px. nominal: the ratio of nominal magnifications, as "
            "in TRIDENT.",
            flags=("--scale",),
        ),
    ] = "true"
    min_tissue: Annotated[
        float,
        Option(
            "Least tissue share of a patch's own area, 0 to 1. The rule atlaspatch does not use it. TRIDENT's default "
            "is 0.",
            flags=("--min-tissue", "--min-tissue-proportion", "min_tissue"),
            ge=0,
            le=1,
        ),
    ] = 0.1
    rule: Annotated[
        Rule,
        Option(
            "Which patches are kept. lattice: those with enough tissue. atlaspatch: those that pass AtlasPatch's test "
            "of four points.",
            flags=("--rule",),
        ),
    ] = "lattice"
    edge: Annotated[
        Edge,
        Option(
            "Patches over the right or bottom edge of the slide. pad: filled with white. drop: left out.",
            flags=("--edge",),
        ),
    ] = "pad"
    filters: FilterSpec | None = None
    """Drop black and white patches by their pixels."""
    patch_encoders: Annotated[
        tuple[str, ...],
        Option(
            "Patch encoders; those that the slide encoders need run by themselves. 'atlaspatch encoders' lists them.",
            flags=("--patch-encoders",),
        ),
    ] = ()
    slide_encoders: Annotated[
        tuple[str, ...],
        Option(
            "Slide encoders; the patch encoders that they need run by themselves.",
            flags=("--slide-encoders",),
            example=["mean-efficientnet_lite0"],
        ),
    ] = ()
    precision: Annotated[
        Precision | Literal["own"],
        Option(
            "Number format in which patch encoders compute; own is what the makers of each use. On a CPU float16 "
            "becomes float32.",
            flags=("--feature-precision",),
        ),
    ] = "float16"
    input_size: Annotated[
        int | None,
        Option(
            "Side to which patches are scaled for the patch encoders, px. Vision transformers can take multiples of "
            "their own patches.",
            gt=0,
            unset="each encoder's own",
            example=448,
        ),
    ] = None
    coords: Annotated[
        Path | None,
        Option(
            "Folder of coords that take the place of the grid's: <stem>.h5 or <stem>_patches.h5 in it, or in patches "
            "below it, of this package, TRIDENT, AtlasPatch or CLAM. Size and scale must be those above.",
            example="coords",
        ),
    ] = None
    downscale: Annotated[
        Downscale,
        Option(
            "How features get the px of patches coarser than the level that is read. area: averaged. dct: where they "
            "are an eighth of a JPEG level's scale, decoded at that scale, which is twice as fast and differs by 0.6 "
            "of 255 on average; other scales gain less, and are averaged anyway.",
            flags=("--downscale",),
        ),
    ] = "area"
