"""One Parquet file per slide and encoder with a row for each patch: place, tissue share, features."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atlaspatch_core.encoders.extras import need
from atlaspatch_core.interop.export.files import digest
from atlaspatch_core.interop.export.values import (
    Artifact,
    ExportLayout,
    ExportResult,
    GeometryResults,
    SlideResults,
    Target,
)
from atlaspatch_core.storage.schema import FEATURES, MPP, PATCH_MPP, PATCH_SIZE, PATCH_SIZE_LEVEL0, TISSUE_FRACTION

VERSION = 1
FACTS = (PATCH_SIZE, PATCH_SIZE_LEVEL0, PATCH_MPP, MPP)
"""Attributes of the file that readers want, which stand in the table's metadata."""


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:  # noqa: ARG001
    """Yield a file for each patch encoder, or one of the coords alone where there is none."""
    for geometry in slide.geometries:
        for result in geometry.features or (None,):
            folder = f"patches_{result.name}" if result else "patches"
            of = digest("patches", VERSION, (result or geometry.coords).fingerprint)
            yield Artifact(geometry.home / folder / f"{slide.stem}.parquet", of, _writer(slide, geometry, result))


def _writer(slide: SlideResults, geometry: GeometryResults, result: ExportResult | None):
    def write(to: Path) -> None:
        pq = need("pyarrow.parquet", "parquet", "a table of patches")
        pq.write_table(patch_table(slide, geometry, result), to, compression="zstd")

    return write


def patch_table(slide: SlideResults, geometry: GeometryResults, result: ExportResult | None = None) -> Any:
    """Return a table of pyarrow: stem, row, x and y (top-left corner, level-0 px), tissue_fraction, features.

    Features are a list of fixed length, float32, and left out without ``result``. Raises MissingExtra.
    """
    pa = need("pyarrow", "parquet", "a table of patches")
    coords = geometry.read_coords()
    columns: dict[str, Any] = {
        "stem": pa.array([slide.stem] * len(coords), pa.string()),
        "row": pa.array(range(len(coords)), pa.int64()),
        "x": pa.array(coords[:, 0], pa.int64()),
        "y": pa.array(coords[:, 1], pa.int64()),
        TISSUE_FRACTION: pa.array(geometry.read_tissue_fraction(), pa.float32()),
    }
    if result is not None:
        features = result.read_features()
        columns[FEATURES] = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), features.shape[1])
    facts = {name: str(geometry.file[name]) for name in FACTS if name in geometry.file}
    facts |= {"encoder": result.name} if result else {}
    return pa.table(columns).replace_schema_metadata(facts | (result or geometry.coords).provenance())


PATCHES = ExportLayout(
    "patches",
    "one Parquet file per slide and encoder: a row for each patch with place, tissue share and features",
    artifacts,
    kinds=frozenset({"patch_features"}),
)
