"""The options of ``atlaspatch run``: names and defaults of TRIDENT's batch command, and a few of our own."""

import click

from atlaspatch_core.cli.declaring import FOLDER, POSITIVE, group, option, panel
from atlaspatch_core.cli.devices import GPUS
from atlaspatch_core.cli.fields import field_option, field_options
from atlaspatch_core.cli.options import NAMES, OPENED, OUTPUT, PLUGINS, PRECISION
from atlaspatch_core.cli.shards import SHARD_OPTION
from atlaspatch_core.cli.types import Device, LocalPath, Number, NumberOr, SlidePaths, Whole
from atlaspatch_core.config.geometry_fields import GeometryFields
from atlaspatch_core.config.run_fields import PicturesFields, RuntimeFields
from atlaspatch_core.tissue.spec import TissueSpec

NO_DEAD_LOCKS = (
    "locks are the kernel's and die with the process that holds them; what a killed run left half-written is removed "
    "at the next start. Lock files of other programs stay."
)

SLIDES = group(
    panel(
        "Slides",
        option(
            "--task",
            type=click.Choice(["seg", "coords", "feat", "all"]),
            default="seg",
            help="Stage to take: tissue masks, patch coords, features, or all three. What a stage needs is taken as it "
            "lies in the output folder, whatever the options say of the stage before, and is made where it is not "
            "there.",
        ),
        option(
            "--wsi-dir",
            type=SlidePaths(),
            required=True,
            help="Folder of slides, or one slide; also the URL of an object store.",
        ),
    ),
    OUTPUT,
    panel(
        "Output",
        option(
            "--layout",
            type=click.Choice(["atlaspatch", "trident"]),
            default="atlaspatch",
            help="trident: also write what was made under TRIDENT's names, for programs that read its folders.",
        ),
    ),
    OPENED,
)

TISSUE = panel(
    "Tissue",
    field_option(
        TissueSpec,
        "segmenter",
        default="hest",
        help="What finds the tissue: hest and grandqc are networks; otsu, TRIDENT's (otsu_tiled elsewhere), needs no "
        "weights, nor does otsu_whole, the one that encode-slide calls otsu. sam2 is AtlasPatch's.",
    ),
    field_options(TissueSpec, without=("segmenter",), remove_holes={"default": False}),
)

GRID = panel(
    "Patches",
    option(
        "--target-mag",
        "mag",
        aliases=("--mag",),
        type=Number(min=0, max=120, min_open=True),
        default=20.0,
        help="Magnification of the patches.",
    ),
    field_option(GeometryFields, "patch_size", default=512, required=False),
    option(
        "--overlap",
        type=Whole(min=0),
        default=0,
        help="px at that magnification that neighbouring patches share; less than the patch size.",
    ),
    field_option(
        GeometryFields,
        "min_tissue",
        "--min-tissue",
        "min_tissue_proportion",
        aliases=("--min-tissue-proportion",),
        default=0.0,
    ),
    field_option(GeometryFields, "scale"),
    field_option(GeometryFields, "rule", default="trident"),
    field_option(GeometryFields, "edge"),
    field_option(GeometryFields, "resample"),
    option(
        "--coords-dir",
        type=LocalPath(),
        help="Folder of coords, from the output folder or absolute. Where it holds some of CLAM, TRIDENT, AtlasPatch "
        "or another run, features are computed on these, and lie under a name that ends in _supplied; patch size and "
        "magnification are theirs unless given. Where it holds nothing, coords are laid there.",
    ),
)

ENCODERS = group(
    panel(
        "Encoders",
        field_option(
            GeometryFields,
            "patch_encoders",
            "--patch-encoders",
            "patch_encoder",
            aliases=("--patch-encoder",),
            default="conch_v15",
            **NAMES,
        ),
        field_option(
            GeometryFields,
            "slide_encoders",
            "--slide-encoders",
            "slide_encoder",
            aliases=("--slide-encoder",),
            **NAMES,
        ),
        field_option(GeometryFields, "keep_attention"),
        option(
            "--patch-encoder-ckpt-path",
            multiple=True,
            metavar="[NAME=]PATH",
            help="Local weights: of the patch encoder, or of the encoder or segmentation network named; may be "
            "repeated.",
        ),
        field_option(
            GeometryFields,
            "input_size",
            "--input-size",
            "patch_encoder_img_size",
            aliases=("--patch-encoder-img-size",),
        ),
        field_option(GeometryFields, "downscale"),
        field_option(GeometryFields, "precision", default="own", **PRECISION),
    ),
    PLUGINS,
)

PICTURES = panel("Pictures", field_options(PicturesFields, grids={"default": True}))

SPEED = panel(
    "Runtime",
    GPUS,
    option("--gpu", type=Whole(min=-1), help="One GPU; --gpus wins over it."),
    field_option(RuntimeFields, "device", type=Device()),
    option(
        "--patch-workers",
        "max_workers",
        aliases=("--max-workers",),
        type=Whole(min=0),
        show_default="the cores, shared among the workers",
        help="Threads of each worker that read and decode patches; 0 is one.",
    ),
    option(
        "--batch-size", type=POSITIVE, default=64, help="Tiles that a segmenter, patches that an encoder takes at once."
    ),
    option("--seg-batch-size", type=POSITIVE, show_default="the batch size", help="The same, of segmenters alone."),
    option(
        "--feature-batch-size",
        "feat_batch_size",
        aliases=("--feat-batch-size",),
        type=NumberOr(("auto",), least=1),
        show_default="the batch size",
        help="The same, of encoders alone; auto measures which is quickest on a GPU.",
    ),
    option(
        "--wsi-cache",
        type=FOLDER,
        help="Folder on a fast local disk: slides are copied there ahead of the work, into a subfolder of this run "
        "alone that goes with it. Nothing else there is touched. Slides of object stores lie there, too.",
    ),
    option("--cache-batch-size", type=POSITIVE, default=32, help="Most slides that lie in the cache at once."),
    SHARD_OPTION,
    option("--skip-errors", is_flag=True, help="Go on when a slide fails, instead of stopping there."),
    option("--clear-dead-locks", is_flag=True, help="Removes dead locks.", does_nothing=NO_DEAD_LOCKS),
    option(
        "--dead-lock-max-age-hours",
        type=Number(min=0),
        default=24.0,
        help="Age of dead locks.",
        does_nothing=NO_DEAD_LOCKS,
    ),
)
