"""Options of how a project runs: changes of encoders, pictures, speed."""

from pathlib import Path
from typing import Annotated, Literal

from atlaspatch_core.encoders.precision import Compile
from atlaspatch_core.option import Option, option_fields


@option_fields
class UpgradesFields:
    """What happens when an encoder, the segmenter or a geometry changes."""

    automatic: Annotated[
        bool,
        Option(
            "Compute stale results anew without being asked. false: it is proposed, with slides, patches, hours and "
            "gigabytes."
        ),
    ] = False
    canary_slides: Annotated[
        int,
        Option(
            "A changed patch encoder is first tried on so many slides. Where it gives the same numbers, stored "
            "features are kept.",
            gt=0,
        ),
    ] = 10
    canary_patches: Annotated[int, Option("Patches of each of these slides.", gt=1)] = 50
    least_cosine: Annotated[
        float,
        Option("Least cosine of stored and new features, of every patch, that counts as the same numbers.", gt=0, le=1),
    ] = 0.9999


@option_fields
class AlertsFields:
    """Who is told when runs fail and when slides need a person; a message is sent once."""

    url_variables: Annotated[
        tuple[str, ...],
        Option(
            "Names of environment variables that hold targets as URLs of Apprise: mailto://user:password@host?to=..., "
            "https://hooks.slack.com/services/..., json://host/path. The URLs, with passwords in them, stay out of "
            "the project file.",
            example=["ATLASPATCH_ALERT_URL"],
        ),
    ] = ()
    command: Annotated[
        tuple[str, ...],
        Option(
            "Program and its arguments that is started with the message on its standard input.",
            example=["logger", "-t", "atlaspatch"],
        ),
    ] = ()


@option_fields
class PicturesFields:
    """Pictures to write beside the results; they decide no numbers. The small ones for the web page are always made."""

    grids: Annotated[
        bool,
        Option(
            "Draw the patches on the slide, under visualization/.", flags=("--visualize-grids/--no-visualize-grids",)
        ),
    ] = False
    mask: Annotated[
        bool, Option("Draw the tissue mask on the slide, under visualization/.", flags=("--visualize-mask",))
    ] = False
    contours: Annotated[
        bool, Option("Draw the outlines of the tissue, under visualization/.", flags=("--visualize-contours",))
    ] = False
    save_images: Annotated[
        bool, Option("Write every patch as a PNG under images/<stem>/.", flags=("--save-images",))
    ] = False
    dump_patches: Annotated[
        bool,
        Option(
            "Write patches as images under TRIDENT's names, patch_images/<stem>/<row>_x<X>_y<Y>.png.",
            flags=("--dump-patches",),
        ),
    ] = False
    dump_patches_max: Annotated[
        int,
        Option(
            "Most images of a slide that are written so, the first ones; 0 is all.", flags=("--dump-patches-max",), ge=0
        ),
    ] = 0
    dump_patches_format: Annotated[
        Literal["png", "jpg"], Option("Format of these images.", flags=("--dump-patches-format",))
    ] = "png"
    dump_patches_jpeg_quality: Annotated[
        int,
        Option("Quality of these images where they are JPEGs.", flags=("--dump-patches-jpeg-quality",), ge=1, le=100),
    ] = 90


@option_fields
class RuntimeFields:
    """What decides speed and never a number."""

    device: Annotated[
        str,
        Option(
            "Where the segmenter and the slide encoders run: auto, cpu, cuda, cuda:N or mps. auto is CUDA where the "
            "machine has it, else MPS, else the CPU, which is said once. Another that is not there is an error.",
            flags=("--device",),
        ),
    ] = "auto"
    feature_device: Annotated[
        str | None,
        Option("Where the patch encoders run.", flags=("--feature-device",), unset="the same device", example="cuda:1"),
    ] = None
    feature_batch_size: Annotated[
        Annotated[int, Option("Number of patches.", gt=0)] | Literal["auto"],
        Option(
            "Patches that an encoder takes at once. auto: on CUDA the smallest number within 3 % of the best rate, "
            "measured once for each encoder, kind of device and precision; on a CPU 32, or twice its threads.",
            flags=("--feature-batch-size",),
            aliases=("--feat-batch-size",),
            values="1 or more, or `auto`",
        ),
    ] = 32
    compile: Annotated[
        Compile,
        Option(
            "auto: the networks of patch encoders are rewritten for their device where the patches to come pay for it, "
            "and where no feature changes by more than the precision's rounding. off: they run as their makers' code "
            "has them.",
            flags=("--compile",),
        ),
    ] = "auto"
    segmentation_batch_size: Annotated[
        int,
        Option(
            "Tiles of a slide that a segmenter with a network takes at once.",
            flags=("--seg-batch-size",),
            gt=0,
        ),
    ] = 1
    read_workers: Annotated[int, Option("Threads that read and decode patches; 0 is one per core.", ge=0)] = 0
    threads: Annotated[
        int, Option("Threads of torch and OpenCV; 0 is as many as OMP_NUM_THREADS says, or one per core.", ge=0)
    ] = 0
    write_rows: Annotated[int, Option("Most rows in one chunk of an HDF5 file.", flags=("--write-batch",), gt=0)] = 8192
    remote_cache: Annotated[
        Path | None,
        Option(
            "Folder on a local disk in which slides of object stores lie while they are read. Copies lie in a "
            "subfolder of the process alone, and go when it ends.",
            flags=("--remote-cache",),
            unset="the machine's folder for temporary files",
            example="/scratch",
        ),
    ] = None
    remote_cache_gb: Annotated[
        float,
        Option(
            "Most gigabytes that these copies take, of each process; slides beyond are refused.",
            flags=("--remote-cache-gb",),
            gt=0,
        ),
    ] = 50.0
    slides_per_run: Annotated[int, Option("Slides of one run of the platform.", gt=0)] = 128
