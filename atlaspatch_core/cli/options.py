"""The options of the commands, in groups: names, short forms, types and defaults that AtlasPatch users know.

An option that is a field of the project is stated there; here stands what a command has otherwise.
"""

import click

from atlaspatch_core.cli.declaring import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    FILE,
    FOLDER,
    POSITIVE,
    STRICT,
    STRICT_HELP,
    group,
    option,
    panel,
)
from atlaspatch_core.cli.fields import field_option, field_options
from atlaspatch_core.cli.types import Checkpoint, Device, LocalPath, Names, SlidePaths, Whole
from atlaspatch_core.config.geometry_fields import GeometryFields
from atlaspatch_core.config.input_fields import PatientsFields, ProjectFields, SlidesFields
from atlaspatch_core.config.mode_fields import DRY_RUN
from atlaspatch_core.config.run_fields import PicturesFields, RuntimeFields
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.option import field_of
from atlaspatch_core.patches.filter_spec import FilterSpec
from atlaspatch_core.tissue.spec import TissueSpec

NAMES = {"type": Names(), "multiple": False}
PRECISION = {"type": click.Choice(field_of(GeometryFields, "precision").choices, case_sensitive=False)}
NAMED_ENCODERS = ("patch_encoders", "slide_encoders")
OF_SLIDE_ENCODERS = (*NAMED_ENCODERS, "keep_attention")
OF_ENCODERS = ("precision", "input_size", "downscale")
"""Fields of a geometry that are about its encoders."""

OUTPUT = panel(
    "Output",
    option(
        "--output",
        "-o",
        aliases=("--job-dir",),
        type=LocalPath(),
        required=True,
        help="Folder for all that is made.",
    ),
    field_option(ProjectFields, "name"),
)
OPENED = panel("Slides", field_options(SlidesFields, masks={"type": EXISTING_FOLDER}))

SLIDES = group(click.argument("wsi_path", type=SlidePaths(), nargs=-1, required=True), OUTPUT, OPENED)

OF_CASES = (
    "mpp", "mpp_csv", "mpp_keys", "reader", "series", "square_pixels", "masks", "masks_origin", "mask_values",
    "pseudonyms", "pseudonym_key_variable",
)  # fmt: skip
"""Fields of ``[slides]`` that cases have, too."""

CASES = group(
    click.argument("manifest_path", type=EXISTING_FILE),
    OUTPUT,
    panel("Slides", field_options(SlidesFields, only=OF_CASES, masks={"type": EXISTING_FOLDER})),
    panel("Encoders", field_option(PatientsFields, "encoders", required=True, **NAMES)),
)

ENCODERS = panel(
    "Encoders",
    field_options(GeometryFields, only=OF_SLIDE_ENCODERS, patch_encoders=NAMES, slide_encoders=NAMES),
)

PLUGINS = panel(
    "Encoders",
    field_option(ProjectFields, "plugins"),
    field_option(ProjectFields, "allow_remote_code", **NAMES),
    field_option(ProjectFields, "other_scales"),
)

LOADING = panel(
    "Encoders",
    field_options(GeometryFields, only=OF_ENCODERS, precision=PRECISION),
    option(
        "--patch-encoder-ckpt-path",
        type=Checkpoint(),
        multiple=True,
        help="Local weights of an encoder or of a network of the segmenter, instead of those it declares; may be "
        "repeated.",
    ),
    PLUGINS,
)

GEOMETRY = panel("Patches", field_options(GeometryFields, without=(*OF_SLIDE_ENCODERS, *OF_ENCODERS)))

TISSUE = panel("Tissue", field_options(TissueSpec))

FILTERS = panel(
    "Patches",
    option(
        "--fast-mode/--no-fast-mode",
        default=True,
        help="Whether the tissue mask alone decides, or patches are also read, and dropped by the thresholds of white, "
        "black, sharpness and ink, which count only then.",
    ),
    field_options(FilterSpec),
)

PICTURES = panel("Pictures", field_options(PicturesFields))

RUNTIME = panel(
    "Runtime",
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
        aliases=("--max-workers",),
        type=POSITIVE,
        default=usable_cores,
        show_default="CPU count",
        help="Threads that read and decode patches, for encoders, filters and pictures.",
    ),
    option(
        "--max-open-slides",
        type=POSITIVE,
        default=200,
        help="Most slides open at once.",
        does_nothing="one slide or two are open at once, whatever the number.",
    ),
)

MODE = panel(
    "Runtime",
    option(
        "--skip-existing/--force",
        default=True,
        help="Whether results that are up to date are kept, or everything asked for is made anew. Results of other "
        "encoders stay as long as the coordinates do.",
    ),
    option(STRICT, is_flag=True, help=STRICT_HELP),
    option(*DRY_RUN.flags, is_flag=True, help=DRY_RUN.help),
)
"""How a command that makes results treats what is there."""

MESSAGES = panel(
    "Messages",
    option("--verbose", "-v", is_flag=True, help="Log in detail, and print every step with its time and fingerprint."),
    option("--quiet", "-q", is_flag=True, help="Print slides that failed or have warnings alone, and no bar."),
    option(
        "--log-file",
        type=FILE,
        help="File to which everything that is said is added, with times and details, whatever is shown.",
    ),
    option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print one JSON object at the end, and nothing else, to standard output: what became of every slide. All "
        "other lines go to standard error.",
    ),
)
"""What a command that makes results says, and where."""
