"""The options of ``atlaspatch run``: names and defaults of TRIDENT's batch command, and a few of our own."""

import click

from atlaspatch_core.cli.declaring import (
    EXISTING_FOLDER,
    FOLDER,
    POSITIVE,
    STRICT,
    STRICT_HELP,
    group,
    option,
)
from atlaspatch_core.cli.devices import GPUS
from atlaspatch_core.cli.fields import field_option, field_options
from atlaspatch_core.cli.options import NAME, NAMES
from atlaspatch_core.cli.shards import SHARD_OPTION
from atlaspatch_core.cli.types import LocalPath, Number, SlidePaths, Whole
from atlaspatch_core.config.geometry_fields import GeometryFields
from atlaspatch_core.config.input_fields import ProjectFields, SlidesFields
from atlaspatch_core.config.run_fields import PicturesFields
from atlaspatch_core.tissue.spec import TissueSpec

STAGES = group(
    option(
        "--task",
        type=click.Choice(["seg", "coords", "feat", "all"]),
        default="seg",
        help="Stage to take: tissue masks, patch coords, features, or all three. What a stage needs is taken as it "
        "lies in JOB_DIR, whatever the options say of the stage before, and is made where it is not there.",
    ),
    option(
        "--wsi-dir",
        type=SlidePaths(),
        required=True,
        help="Folder of slides, or one slide; also the URL of an object store.",
    ),
    option("--job-dir", "output", type=FOLDER, required=True, help="Folder for all that is made."),
    NAME,
    field_options(SlidesFields, masks={"type": EXISTING_FOLDER}),
)

TISSUE = group(
    field_option(
        TissueSpec,
        "segmenter",
        default="hest",
        help="What finds the tissue: hest and grandqc are networks; otsu, TRIDENT's (otsu_tiled elsewhere), needs no "
        "weights, nor does otsu_whole, the one that encode-slide calls otsu. sam2 is AtlasPatch's.",
    ),
    field_options(TissueSpec, without=("segmenter", "min_tissue_share"), remove_holes={"default": False}),
)

GRID = group(
    option("--mag", type=Number(min=0, max=120, min_open=True), default=20.0, help="Magnification of the patches."),
    field_option(GeometryFields, "patch_size", default=512, required=False),
    option(
        "--overlap",
        type=Whole(min=0),
        default=0,
        help="px at that magnification that neighbouring patches share; less than the patch size.",
    ),
    field_option(GeometryFields, "min_tissue", "--min-tissue-proportion", default=0.0),
    field_option(GeometryFields, "scale"),
    field_option(GeometryFields, "rule", default="trident"),
    field_option(GeometryFields, "edge"),
    field_option(GeometryFields, "resample"),
    option(
        "--coords-dir",
        type=LocalPath(),
        help="Folder of coords, from JOB_DIR or absolute. Where it holds some of CLAM, TRIDENT, AtlasPatch or another "
        "JOB_DIR, features are computed on these, and lie in JOB_DIR under a name that ends in _supplied; patch size "
        "and magnification are theirs unless given. Where it holds nothing, coords are laid there.",
    ),
    field_option(PicturesFields, "dump_patches", "--dump-patches"),
    field_option(PicturesFields, "dump_patches_max", "--dump-patches-max"),
    field_option(PicturesFields, "dump_patches_format", "--dump-patches-format"),
    field_option(PicturesFields, "dump_patches_jpeg_quality", "--dump-patches-jpeg-quality"),
)

ENCODERS = group(
    field_option(GeometryFields, "patch_encoders", "--patch-encoder", default="conch_v15", **NAMES),
    field_option(GeometryFields, "slide_encoders", "--slide-encoder", **NAMES),
    option(
        "--patch-encoder-ckpt-path",
        multiple=True,
        metavar="[NAME=]PATH",
        help="Local weights: of the patch encoder, or of the encoder or segmentation network named; may be repeated.",
    ),
    field_option(GeometryFields, "input_size", "--patch-encoder-img-size"),
    field_option(
        GeometryFields,
        "precision",
        default="own",
        type=click.Choice(["own", "float32", "float16", "bfloat16"], case_sensitive=False),
    ),
    field_option(ProjectFields, "plugins"),
    field_option(ProjectFields, "allow_remote_code", "--allow-remote-code", **NAMES),
)

SPEED = group(
    GPUS,
    option("--gpu", type=Whole(min=-1), help="One GPU; --gpus wins over it."),
    option(
        "--max-workers",
        type=Whole(min=0),
        show_default="the cores, shared among the workers",
        help="Threads of each worker that read and decode patches; 0 is one.",
    ),
    option(
        "--batch-size", type=POSITIVE, default=64, help="Tiles that a segmenter, patches that an encoder takes at once."
    ),
    option("--seg-batch-size", type=POSITIVE, show_default="the batch size", help="The same, of segmenters alone."),
    option("--feat-batch-size", type=POSITIVE, show_default="the batch size", help="The same, of encoders alone."),
    option(
        "--wsi-cache",
        type=FOLDER,
        help="Folder on a fast local disk: slides are copied there ahead of the work, into a subfolder of this run "
        "alone that goes with it. Nothing else there is touched. Slides of object stores lie there, too.",
    ),
    option("--cache-batch-size", type=POSITIVE, default=32, help="Most slides that lie in the cache at once."),
)

FLOW = group(
    SHARD_OPTION,
    option("--skip-errors", is_flag=True, help="Go on when a slide fails, instead of stopping there."),
    option("--clear-dead-locks", is_flag=True, help="Accepted, and not needed: locks die with their process."),
    option("--dead-lock-max-age-hours", type=Number(min=0), default=24.0, help="Accepted, and not needed."),
    option(
        "--layout",
        type=click.Choice(["atlaspatch", "trident"]),
        default="atlaspatch",
        help="trident: also write what was made under TRIDENT's names, for programs that read its folders.",
    ),
    option(
        "--skip-existing/--force",
        default=True,
        help="Whether results that are up to date are kept, or the stage is taken anew.",
    ),
    option(STRICT, is_flag=True, help=STRICT_HELP),
    option("--verbose", "-v", is_flag=True, help="Log in detail, and print every step with its time and fingerprint."),
)
