"""The options of the commands, in groups: names, short forms, types and defaults that AtlasPatch users know."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import EXISTING_FILE, POSITIVE, cpu_count, group, option
from atlaspatch_core.cli.types import Checkpoint, Device, Names, Several, SlidePaths

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

SLIDES = group(click.argument("wsi_path", type=SlidePaths(), nargs=-1, required=True), OUTPUT, FINDING)

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
