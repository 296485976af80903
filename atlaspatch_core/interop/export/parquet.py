"""One Parquet file of all slide embeddings: a row per slide, geometry and slide encoder."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atlaspatch_core.encoders.extras import need
from atlaspatch_core.errors import UnreadableOutput, UnwritableOutput
from atlaspatch_core.interop.export.values import (
    ExportLayout,
    ExportResult,
    ExportStatus,
    GeometryResults,
    Placed,
    SlideResults,
    Target,
)
from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.schema import (
    CREATED_AT,
    DIM,
    FINGERPRINT,
    INPUTS,
    LEVEL0_HEIGHT,
    LEVEL0_WIDTH,
    MPP,
    NUM_PATCHES,
    PATCH_MPP,
    PATCH_SIZE,
    PATCH_SIZE_LEVEL0,
    RECIPE,
    SOURCE_PATCH_ENCODER,
    TARGET_MAGNIFICATION,
)

log = logging.getLogger(__name__)

VERSION = 1
FILE_NAME = "slide_embeddings.parquet"
MARK = b"atlaspatch"
"""Metadata by which our files are known."""
KEY = ["stem", "geometry", "encoder"]
OF_RESULT = (FINGERPRINT, RECIPE, INPUTS, CREATED_AT)
SIZES, SCALES = (PATCH_SIZE, PATCH_SIZE_LEVEL0), (MPP, PATCH_MPP, TARGET_MAGNIFICATION)

Keyed = Mapping[tuple[str, str, str], tuple[SlideResults, GeometryResults, ExportResult]]


def write_table(slides: Sequence[SlideResults], target: Target) -> Placed:
    """Write the embeddings of these slides; rows of others that are in the file already stay.

    Raises UnwritableOutput when the file there is not ours.
    """
    path = target.folder / FILE_NAME
    results: Keyed = {
        (slide.stem, geometry.name, result.name): (slide, geometry, result)
        for slide in slides
        for geometry in slide.geometries
        for result in geometry.embeddings
    }
    if target.dry_run:
        return Placed(path, _fate(results, _stored(path, force=target.force)))
    with slide_lock(target.folder, path.stem):
        before = _stored(path, force=target.force)
        if _fate(results, before) is ExportStatus.UNCHANGED:
            return Placed(path, ExportStatus.UNCHANGED)
        with replacing(path) as temporary:
            _write(temporary, results, before)
    return Placed(path, ExportStatus.WRITTEN)


def stems_in_table(path: Path) -> list[str] | None:
    """Return the slides in a table; None where this export did not write it. Raises MissingExtra."""
    pa, pq = need("pyarrow", "parquet", path.name), need("pyarrow.parquet", "parquet", path.name)
    try:
        is_ours = MARK in (pq.read_schema(path).metadata or {})
        return sorted(set(pq.read_table(path, columns=["stem"])["stem"].to_pylist())) if is_ours else None
    except (pa.ArrowException, OSError) as error:
        raise UnreadableOutput(f"{path} cannot be read ({error}); move it away and export it again") from error


def _stored(path: Path, *, force: bool) -> Any:
    """Return the table that lies there, None where there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return None
    try:
        if MARK in (pq.read_schema(path).metadata or {}):
            return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        log.warning("%s cannot be read as Parquet: %s", path, error)
    if force:
        return None
    raise UnwritableOutput(f"{path}: was not written by this export; move it away, or use --force to replace it")


def _fate(results: Keyed, before: Any) -> ExportStatus:
    return ExportStatus.UNCHANGED if before is not None and _same(results, before) else ExportStatus.PLANNED


def _same(results: Keyed, before: Any) -> bool:
    fingerprints = _fingerprints(before)
    return all(fingerprints.get(key) == result.fingerprint for key, (_, _, result) in results.items())


def _fingerprints(table: Any) -> dict[tuple[str, str, str], str]:
    columns = [table.column(name).to_pylist() for name in (*KEY, FINGERPRINT)]
    return {
        (stem, geometry, encoder): fingerprint for stem, geometry, encoder, fingerprint in zip(*columns, strict=True)
    }


def _write(path: Path, results: Keyed, before: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    table = pa.Table.from_pylist(list(_rows(results)), schema=schema)
    if before is not None:
        keep = [key not in results for key in _fingerprints(before)]
        table = pa.concat_tables([before.cast(schema).filter(pa.array(keep, pa.bool_())), table])
    ordered = table.sort_by([(name, "ascending") for name in reversed(KEY)])
    pq.write_table(ordered.replace_schema_metadata({MARK: json.dumps({"version": VERSION})}), path, compression="zstd")


def _schema() -> Any:
    import pyarrow as pa

    words = dict.fromkeys((*KEY, "patch_encoder", *OF_RESULT), pa.string())
    whole = dict.fromkeys((DIM, "patches", *SIZES, "width", "height"), pa.int64())
    measures = dict.fromkeys(SCALES, pa.float64())
    return pa.schema({**words, **whole, **measures, "embedding": pa.list_(pa.float32())})


def _rows(results: Keyed) -> Iterator[dict[str, Any]]:
    for (stem, name, encoder), (_, geometry, result) in results.items():
        values, file, about = result.read_features(), geometry.file, result.attributes()
        yield {
            "stem": stem,
            "geometry": name,
            "encoder": encoder,
            "patch_encoder": str(about.get(SOURCE_PATCH_ENCODER, "")),
            **{field: str(about.get(field, "")) for field in OF_RESULT},
            DIM: len(values),
            "patches": int(file[NUM_PATCHES]),
            "width": int(file[LEVEL0_WIDTH]),
            "height": int(file[LEVEL0_HEIGHT]),
            **{field: file.get(field) for field in (*SIZES, *SCALES)},
            "embedding": values,
        }


PARQUET = ExportLayout(
    "parquet",
    f"one table of all slide embeddings, {FILE_NAME}",
    cohort=write_table,
    needs=("pyarrow", "parquet"),
    kinds=frozenset({"slide_embedding"}),
)
