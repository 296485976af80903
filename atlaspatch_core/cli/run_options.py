"""The options of ``atlaspatch run``: names and defaults of TRIDENT's batch command, and a few of our own."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import EXISTING_FILE, POSITIVE, SHARE, group, option
from atlaspatch_core.cli.devices import GPUS
from atlaspatch_core.cli.options import FINDING
from atlaspatch_core.cli.types import Names, Number

FOLDER = click.Path(file_okay=False, path_type=Path)

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
        type=click.Path(exists=True, path_type=Path),
        required=True,
        help="Folder of slides, or one slide.",
    ),
    option("--job-dir", "output", type=FOLDER, required=True, help="Folder for all that is made."),
    FINDING,
)

TISSUE = group(
    option(
        "--segmenter",
        default="hest",
        help="What finds the tissue: hest and grandqc are networks; otsu, TRIDENT's (otsu_tiled elsewhere), needs no "
        "weights, nor does otsu_whole, the one that encode-slide calls otsu. sam2 is AtlasPatch's.",
    ),
    option(
        "--seg-conf-thresh",
        type=Number(min=0, max=1, min_open=True, max_open=True),
        default=0.5,
        help="A network calls tissue what it gives a higher probability.",
    ),
    option(
        "--remove-holes/--fill-holes",
        default=False,
        help="Whether holes in the tissue are background, or belong to it.",
    ),
    option("--remove-artifacts", is_flag=True, help="Folds, pen marks, bubbles and blur are no tissue (GrandQC)."),
    option("--remove-penmarks", is_flag=True, help="Pen marks are no tissue (GrandQC, or the segmenter itself)."),
)

GRID = group(
    option("--mag", type=Number(min=0, max=120, min_open=True), default=20.0, help="Magnification of the patches."),
    option("--patch-size", type=POSITIVE, default=512, help="Side of a patch, px at that magnification."),
    option(
        "--overlap",
        type=click.IntRange(min=0),
        default=0,
        help="px at that magnification that neighbouring patches share; less than the patch size.",
    ),
    option("--min-tissue-proportion", type=SHARE, default=0.0, help="Least tissue share of a patch's own area."),
    option(
        "--scale",
        type=click.Choice(["true", "nominal"]),
        default="true",
        help="What decides the scale of a slide: its µm per px or, as in TRIDENT, the ratio of magnifications.",
    ),
    option(
        "--coords-dir",
        type=click.Path(path_type=Path),
        help="Folder of coords, from JOB_DIR or absolute. Where it holds some of CLAM, TRIDENT, AtlasPatch or another "
        "JOB_DIR, features are computed on these, and lie in JOB_DIR under a name that ends in _supplied; patch size "
        "and magnification are theirs unless given. Where it holds nothing, coords are laid there.",
    ),
    option("--dump-patches", is_flag=True, help="Write patches as images below patch_images/."),
    option("--dump-patches-max", type=click.IntRange(min=0), default=0, help="Most images of a slide; 0 is all."),
    option("--dump-patches-format", type=click.Choice(["png", "jpg"]), default="png", help="Format of the images."),
    option("--dump-patches-jpeg-quality", type=click.IntRange(1, 100), default=90, help="Quality of JPEGs."),
)

ENCODERS = group(
    option(
        "--patch-encoder",
        type=Names(),
        default="conch_v15",
        help="Patch encoders, separated by commas or blanks; 'atlaspatch encoders' lists them.",
    ),
    option(
        "--slide-encoder",
        type=Names(),
        help="Slide encoders. The patch encoders that they need run by themselves; --patch-encoder adds others only "
        "where it is given.",
    ),
    option(
        "--patch-encoder-ckpt-path",
        multiple=True,
        metavar="[NAME=]PATH",
        help="Local weights: of the patch encoder, or of the encoder or segmentation network named; may be repeated.",
    ),
    option(
        "--patch-encoder-img-size",
        type=POSITIVE,
        help="Side to which patches are scaled for the encoder, px: a multiple of its transformer's own patch.",
    ),
    option(
        "--feature-precision",
        type=click.Choice(["own", "float32", "float16", "bfloat16"], case_sensitive=False),
        default="own",
        help="Number format of the patch encoders; own is what the makers of each use. On a CPU float16 is float32.",
    ),
    option(
        "--feature-plugin",
        type=EXISTING_FILE,
        multiple=True,
        help="Python file that declares further encoders; may be repeated. Its code is executed.",
    ),
    option(
        "--allow-remote-code",
        type=Names(),
        help="Encoders whose Python code, which lies beside their weights, may be run.",
    ),
)

SPEED = group(
    GPUS,
    option("--gpu", type=click.IntRange(min=-1), help="One GPU; --gpus wins over it."),
    option(
        "--max-workers",
        type=click.IntRange(min=0),
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
        "alone that goes with it. Nothing else there is touched.",
    ),
    option("--cache-batch-size", type=POSITIVE, default=32, help="Most slides that lie in the cache at once."),
)

FLOW = group(
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
    option("--verbose", "-v", is_flag=True, help="Log in detail, and print every step with its time and fingerprint."),
)
