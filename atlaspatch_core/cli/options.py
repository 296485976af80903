"""The options of the commands, in groups: names, short forms, types and defaults that AtlasPatch users know.

An option that is a field of the project is stated there; here stands what a command has otherwise.
"""

import click

from atlaspatch_core.cli.declaring import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    FOLDER,
    POSITIVE,
    STRICT,
    STRICT_HELP,
    group,
    option,
)
from atlaspatch_core.cli.fields import field_option, field_options
from atlaspatch_core.cli.types import Checkpoint, Device, LocalPath, Names, SlidePaths, Whole
from atlaspatch_core.config.geometry_fields import GeometryFields
from atlaspatch_core.config.input_fields import PatientsFields, ProjectFields, SlidesFields
from atlaspatch_core.config.run_fields import PicturesFields, RuntimeFields
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.patches.filter_spec import FilterSpec
from atlaspatch_core.tissue.spec import TissueSpec

NAMES = {"type": Names(), "multiple": False}
PRECISION = {"type": click.Choice(["float32", "float16", "bfloat16"], case_sensitive=False)}
WITHOUT_ENCODERS = ("patch_encoders", "slide_encoders")

OUTPUT = option("--output", "-o", type=LocalPath(), required=True, help="Folder for all that is made.")
NAME = field_option(ProjectFields, "name")

SLIDES = group(
    click.argument("wsi_path", type=SlidePaths(), nargs=-1, required=True),
    OUTPUT,
    NAME,
    field_options(SlidesFields, masks={"type": EXISTING_FOLDER}),
)

OF_CASES = (
    "mpp_csv", "mpp_keys", "reader", "series", "square_pixels", "masks", "masks_origin", "mask_values",
    "pseudonyms", "pseudonym_key_variable",
)  # fmt: skip
"""Fields of ``[slides]`` that cases have, too."""

CASES = group(
    click.argument("manifest_path", type=EXISTING_FILE),
    OUTPUT,
    NAME,
    field_options(
        SlidesFields,
        only=OF_CASES,
        masks={"type": EXISTING_FOLDER},
    ),
    field_option(PatientsFields, "encoders", required=True, **NAMES),
)

ENCODERS = field_options(
    GeometryFields,
    only=WITHOUT_ENCODERS,
    patch_encoders=NAMES,
    slide_encoders=NAMES,
)

LOADING = group(
    option(
        "--patch-encoder-ckpt-path",
        type=Checkpoint(),
        multiple=True,
        help="Local weights of an encoder or of a network of the segmenter, instead of those it declares; may be "
        "repeated.",
    ),
    field_option(ProjectFields, "plugins"),
)

GEOMETRY = field_options(
    GeometryFields,
    without=WITHOUT_ENCODERS,
    target_mag={"type": Whole(1, 120)},
    precision=PRECISION,
)

TISSUE = group(
    field_options(TissueSpec),
    option(
        "--fast-mode/--no-fast-mode",
        default=True,
        help="Whether the tissue mask alone decides, or patches are also read, and dropped by the thresholds of white, "
        "black, sharpness and ink, which count only then.",
    ),
    field_options(FilterSpec),
)

PICTURES = field_options(PicturesFields)

RUNTIME = group(
    field_options(
        RuntimeFields, device={"type": Device()}, feature_device={"type": Device()}, remote_cache={"type": FOLDER}
    ),
    option(
        "--feature-num-workers",
        type=Whole(min=0),
        default=4,
        help="At least so many threads read patches ahead of the encoders; where --patch-workers is higher, it counts.",
    ),
    option(
        "--patch-workers",
        type=POSITIVE,
        default=usable_cores,
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
    option(STRICT, is_flag=True, help=STRICT_HELP),
    option("--verbose", "-v", is_flag=True, help="Log in detail, and print every step with its time and fingerprint."),
)
