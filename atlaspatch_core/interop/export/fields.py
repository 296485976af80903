"""Options of an export, as the command and the job have them."""

from typing import Annotated

from atlaspatch_core.discovery.cohorts import COHORTS
from atlaspatch_core.option import Option, option_fields

LAYOUT = Option(
    "Who is to read the files: trident and clam write those tools' folders, pt and anndata a file per slide and "
    "encoder, spatialdata a store per slide, parquet one table of all slide embeddings, geojson patches for QuPath. "
    "Plugins may bring others.",
    flags=("--layout",),
    names_of="layouts",
)
DRY_RUN = Option("Only say what would be written.", flags=("--dry-run",))
"""A job does so unless told otherwise, a command does not."""


@option_fields
class ExportFields:
    """What is exported, for whom, and where to."""

    layout: Annotated[str, LAYOUT]
    folder: Annotated[str, Option("Folder to write to; made where it is not there.", flags=("--to", "folder"))]
    slides: Annotated[
        list[str], Option("Only the slides with these stems.", flags=("--slides", "stems"), unset="all")
    ] = []  # noqa: RUF012 - pydantic copies it
    cohorts: Annotated[list[str], COHORTS] = []  # noqa: RUF012
    encoders: Annotated[
        list[str],
        Option("Only these patch and slide encoders.", flags=("--encoders",), names_of="encoders", unset="all"),
    ] = []  # noqa: RUF012
    geometries: Annotated[
        list[str],
        Option(
            "Only the geometries of these names.",
            flags=("--geometry", "geometries"),
            names_of="geometries",
            unset="all",
        ),
    ] = []  # noqa: RUF012
    column: Annotated[
        str,
        Option(
            "geojson: what colours the patches: tissue_fraction, norm, pc1, pc2, pc3 or a feature's number.",
            flags=("--column",),
        ),
    ] = "tissue_fraction"
    pt: Annotated[bool, Option("trident: write features as .pt tensors, too.", flags=("--pt",))] = False
    include_stale: Annotated[bool, Option("Export results that are not valid, too.", flags=("--include-stale",))] = (
        False
    )
    force: Annotated[
        bool,
        Option("Replace files that this export did not write, or that were changed since.", flags=("--force",)),
    ] = False
