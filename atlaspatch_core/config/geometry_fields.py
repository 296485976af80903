"""Options of a geometry: size and scale of patches, which are kept, and the encoders that run on them."""

from pathlib import Path
from typing import Annotated, Literal

from atlaspatch_core.encoders.precision import Precision
from atlaspatch_core.option import Option, fields_of, option_fields
from atlaspatch_core.patches.filter_spec import FilterSpec
from atlaspatch_core.patches.grid_spec import COARSEST_MPP, Downscale, Edge, GridSpec, Resample, Rule, Scale

GRID = {field.name: field for field in fields_of(GridSpec)}
"""The options that decide where patches lie are stated there."""


@option_fields
class GeometryFields:
    """One size and scale of patches, and the encoders that run on them."""

    name: Annotated[
        str,
        Option("Subfolder of the output, and prefix of the assets; may stay empty where there is one geometry."),
    ] = ""
    patch_size: Annotated[int, GRID["patch_size"].option]
    step_size: Annotated[int | None, GRID["step_size"].option] = GRID["step_size"].default
    target_mag: Annotated[
        float | None,
        Option(
            "Target magnification, up to 120: 20 means 0.5 µm per px. Required, unless µm per px are given instead.",
            flags=("--target-mag",),
            aliases=("--mag",),
            ge=10 / COARSEST_MPP,
            le=120,
            example=20,
            example_counts=True,
        ),
    ] = None
    target_mpp: Annotated[float | None, GRID["target_mpp"].option] = None
    scale: Annotated[Scale, GRID["scale"].option] = GRID["scale"].default
    min_tissue: Annotated[float, GRID["min_tissue"].option] = GRID["min_tissue"].default
    rule: Annotated[Rule, GRID["rule"].option] = GRID["rule"].default
    edge: Annotated[Edge | None, GRID["edge"].option] = GRID["edge"].default
    resample: Annotated[Resample | None, GRID["resample"].option] = GRID["resample"].default
    filters: FilterSpec | None = None
    """Drop black and white patches by their pixels."""
    patch_encoders: Annotated[
        tuple[str, ...],
        Option(
            "Patch encoders; those that the slide encoders need run by themselves. 'atlaspatch encoders' lists them.",
            flags=("--patch-encoders",),
            aliases=("--patch-encoder", "--feature-extractors"),
            names_of="patch encoders",
        ),
    ] = ()
    slide_encoders: Annotated[
        tuple[str, ...],
        Option(
            "Slide encoders; the patch encoders that they need run by themselves.",
            flags=("--slide-encoders",),
            aliases=("--slide-encoder",),
            names_of="slide encoders",
            example=["mean-efficientnet_lite0"],
        ),
    ] = ()
    keep_attention: Annotated[
        bool,
        Option(
            "Keep how much each patch counts in the slide embedding, of slide encoders that pool by attention: "
            "abmil-..., chief and feather among them. Of embeddings that lie there already it is computed from stored "
            "features.",
            flags=("--keep-attention",),
        ),
    ] = False
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
            flags=("--input-size",),
            aliases=("--patch-encoder-img-size",),
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
