"""Options of a project: what it works on, and where results go."""

from pathlib import Path
from typing import Annotated, Literal

from atlaspatch_core.option import Option, option_fields
from atlaspatch_core.slides.reader_names import READER_NAMES
from atlaspatch_core.tissue.outline_origin import Origin

ScalePolicy = Literal["warn", "refuse", "allow"]


@option_fields
class ProjectFields:
    """What stands above the first table of a project file."""

    output: Annotated[Path, Option("Folder for everything that is made.", example="output")] = Path("atlaspatch_output")
    name: Annotated[
        str | None,
        Option(
            "Name that keeps the project apart from others whose runs are recorded in the same place: there it stands "
            "before the names of its assets, partitions and jobs. Letters and digits, with single dashes or "
            "underscores between them. It decides no result.",
            flags=("--project-name",),
            example="kidney_2024",
        ),
    ] = None
    plugins: Annotated[
        tuple[Path, ...],
        Option(
            "Python files that declare further encoders, segmenters or readers. Their code is executed.",
            flags=("--feature-plugin", "--plugin"),
        ),
    ] = ()
    allow_remote_code: Annotated[
        tuple[str, ...],
        Option(
            "Encoders whose Python code, which lies beside their weights, may be run. Read it first.",
            flags=("--allow-remote-code",),
            names_of="encoders",
        ),
    ] = ()
    allow_licenses: Annotated[
        tuple[str, ...] | None,
        Option(
            "Licences that encoders and segmenters may have, in any case of letters; others are refused.",
            unset="any",
            example=["Apache-2.0", "MIT"],
        ),
    ] = None
    other_scales: Annotated[
        ScalePolicy,
        Option(
            "What becomes of patches whose µm/px a patch encoder was not made for, by more than 10 %: a warning, an "
            "error before anything is computed, or nothing.",
            flags=("--other-scales",),
        ),
    ] = "warn"
    owners: Annotated[
        tuple[str, ...],
        Option('Who looks after the results, for the web UI: e-mail addresses, or "team:" and a name.'),
    ] = ()


@option_fields
class SlidesFields:
    """Where the slides are."""

    folders: Annotated[
        tuple[Path, ...],
        Option(
            'Slide files, folders that are searched for slides, and patterns such as "slides/**/*.svs"; also URLs of '
            "object stores: s3://, gs://, az:// and https://.",
            example=["slides"],
        ),
    ] = ()
    recursive: Annotated[
        bool,
        Option(
            "Search the folders below, too; a single file needs no search.",
            flags=("--recursive",),
            aliases=("--search-nested",),
        ),
    ] = False
    extensions: Annotated[
        tuple[str, ...],
        Option(
            "Suffixes that count as slides in folders, in any case of letters. Without it pictures beside slides are "
            "left out.",
            flags=("--wsi-ext",),
            unset="all that can be read",
            example=[".svs", ".ome.tif"],
        ),
    ] = ()
    slide_list: Annotated[
        Path | None,
        Option(
            "Table of the slides to take, and no others: the column wsi, paths from the folder of slides with suffix, "
            "and perhaps mpp, µm per px of level 0, and series, the number of an image or all.",
            flags=("--custom-list-of-wsis",),
            example="slides.csv",
        ),
    ] = None
    cohort_column: Annotated[
        str | None,
        Option(
            "Column of slide_list that names the cohort of each slide. It selects slides, and decides no result.",
            flags=("--cohort-column",),
            unset="the folder that a slide came from",
            example="site",
        ),
    ] = None
    pseudonyms: Annotated[
        Path | None,
        Option(
            "Table with the columns slide (file name, with or without suffix) and pseudonym: what slides are called in "
            "everything that is made of them. Slides without a row are left out.",
            flags=("--pseudonyms",),
            example="pseudonyms.csv",
        ),
    ] = None
    pseudonym_key_variable: Annotated[
        str | None,
        Option(
            "Environment variable with a secret: slides are called by 16 hex digits of the HMAC-SHA256 of their stem "
            "under it. The secret is stored nowhere.",
            flags=("--pseudonym-key-variable",),
            example="ATLASPATCH_PSEUDONYM_KEY",
        ),
    ] = None
    mpp_csv: Annotated[
        Path | None,
        Option(
            "Table with the columns wsi and mpp: µm per px of level 0. It wins over what the slide says; rows find "
            "their slide by the file name without suffix.",
            flags=("--mpp-csv",),
            example="mpp.csv",
        ),
    ] = None
    mpp: Annotated[
        float | None,
        Option(
            "µm per px of level 0 of slides that state none. Where one slide file is named, and no folder, it wins "
            "over what the file says. A table of mpp wins over it.",
            flags=("--mpp",),
            gt=0,
            le=1000,
            example=0.5,
        ),
    ] = None
    mpp_keys: Annotated[
        tuple[str, ...],
        Option(
            "Further properties of slides that state µm per px; they are asked before those that are known.",
            flags=("--custom-mpp-keys",),
        ),
    ] = ()
    reader: Annotated[
        str | None,
        Option(
            f"Reader that opens every slide, whatever its content: {', '.join(READER_NAMES)}. "
            "Plugins may bring others.",
            flags=("--reader-type",),
            names_of="readers",
            unset="the one that knows the slide's content",
            example="openslide",
        ),
    ] = None
    series: Annotated[
        Annotated[int, Option("Number of an image.", ge=0)] | Literal["all"] | None,
        Option(
            "Image of every slide file that is the slide, where files hold several scans: a number, which a warning "
            "names; or all, each scan a slide of its own, called STEM_series and its number.",
            flags=("--series",),
            values="0 or more, or `all`",
            unset="the largest",
            example="all",
        ),
    ] = None
    square_pixels: Annotated[
        bool,
        Option(
            "Read pixels that are not square, which are refused beyond 10 %, as squares of their longer side. px of "
            "level 0 are then these squares, in all results but outlines, which count px of the file.",
            flags=("--square-pixels",),
        ),
    ] = False
    masks: Annotated[
        Path | None,
        Option(
            "Folder of masks that take the place of the segmenter's, found by the slide's name: STEM.geojson (px of "
            "level 0; ours, QuPath's, TRIDENT's), or an image STEM.png, .jpg or .tif over the whole slide (not zero is "
            "tissue). Outlines that were edited in the output folder win over them.",
            flags=("--masks",),
            example="masks",
        ),
    ] = None
    masks_origin: Annotated[
        Origin,
        Option(
            "From where masks count on a slide of which only a part was scanned (MIRAX, SCN). slide: from its corner. "
            "bounds: from the corner of that part, which is all that QuPath shows. auto: as ours say, from the bounds "
            "where QuPath saved them, otherwise from the slide; an image covers that of which it has the proportions.",
            flags=("--masks-origin",),
        ),
    ] = "auto"
    mask_values: Annotated[
        tuple[int | str, ...],
        Option(
            "Values of the pixels of mask images, or indices of their palette, that are tissue; all others are none. "
            "For labels such as 1 for glass and 2 for tissue. By number, or by the name that a table beside the masks "
            "gives: STEM.csv or labels.csv (.tsv, .json, .gpl).",
            flags=("--mask-values",),
            unset="all but zero",
            example=[2, "tumor"],
        ),
    ] = ()
    full_hash: Annotated[
        bool,
        Option(
            "Identify a slide by all its bytes instead of by samples from its head to its tail. Slow on network drives."
        ),
    ] = False


@option_fields
class PatientsFields:
    """Cases of one or more slides, and what makes one embedding of each."""

    manifest: Annotated[
        Path | None,
        Option(
            "Table with the columns case_id and slide_path, mpp where the slide does not say it, and perhaps series.",
            example="cases.csv",
        ),
    ] = None
    encoders: Annotated[
        tuple[str, ...],
        Option(
            "Patient encoders: moozy, or mean- and a patch encoder. The patch encoders that they need run by "
            "themselves, on the first geometry that suits.",
            flags=("--patient-encoders",),
            names_of="patient encoders",
        ),
    ] = ()
