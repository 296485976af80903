"""CLAM's folders: coords per slide, features per slide as HDF5 and as tensors, and the list of slides.

A patch is ``patch_size`` px of ``patch_level``: what a reader takes from there is what ours were cut from, and is
resized by whoever encodes it.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.interop.export.files import digest, write_h5, write_tensor
from atlaspatch_core.interop.export.values import (
    Artifact,
    ExportLayout,
    ExportStatus,
    GeometryResults,
    Placed,
    SlideResults,
    Target,
)
from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.schema import FILENAME
from atlaspatch_core.tables import cell_text, write_table

VERSION = 1
LIST = "process_list_autogen.csv"
COLUMNS = ("slide_id", "process", "status")


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:  # noqa: ARG001
    """Yield the files of one slide; several geometries lie in subfolders of their names."""
    for geometry in slide.geometries:
        yield from _of_geometry(slide.stem, geometry)


def _of_geometry(stem: str, geometry: GeometryResults) -> Iterator[Artifact]:
    coords, home = geometry.coords, geometry.home

    def arrays() -> dict[str, Any]:
        return {"coords": (geometry.read_coords(), coords_attributes(stem, geometry))}

    of = digest("clam", VERSION, "coords", coords.fingerprint)
    yield Artifact(home / "patches" / f"{stem}.h5", of, lambda to: write_h5(to, arrays(), coords.provenance()))
    for result in geometry.features:
        folder = home / f"features_{result.name}"
        of = digest("clam", VERSION, "features", result.fingerprint)

        def write(to: Path, result=result) -> None:
            write_h5(to, {"features": (result.read_features(), {}), **arrays()}, result.provenance())

        yield Artifact(folder / "h5_files" / f"{stem}.h5", of, write)
        path = folder / "pt_files" / f"{stem}.pt"
        yield Artifact(path, of, lambda to, result=result: write_tensor(to, result.read_features()))


def coords_attributes(stem: str, geometry: GeometryResults) -> dict[str, Any]:
    """Return the attributes of ``coords``; ``patch_size`` in px of ``patch_level``."""
    sampling = geometry.sampling()
    return {"patch_size": sampling.read_size, "patch_level": sampling.level, "custom_downsample": 1, "name": stem}


def write_lists(slides: Sequence[SlideResults], target: Target) -> Placed:
    """Add the slides to the list of each geometry; lines and columns that are there already stay."""
    fates = []
    for home in dict.fromkeys(geometry.home for slide in slides for geometry in slide.geometries):
        names = [
            str(geometry.file[FILENAME]) for slide in slides for geometry in slide.geometries if geometry.home == home
        ]
        fates.append(_write_list(target.folder / home / LIST, names, dry_run=target.dry_run))
    worst = next(
        (fate for fate in (ExportStatus.PLANNED, ExportStatus.WRITTEN) if fate in fates), ExportStatus.UNCHANGED
    )
    return Placed(target.folder / LIST, worst)


def _write_list(path: Path, names: Sequence[str], *, dry_run: bool) -> ExportStatus:
    if dry_run:
        return ExportStatus.PLANNED
    with slide_lock(path.parent, path.stem):
        before = path.read_bytes() if path.exists() else b""
        try:
            after = _with_slides(before.decode("utf-8-sig"), names).encode()
        except (UnicodeDecodeError, csv.Error) as error:
            raise UnwritableOutput(f"{path}: is no table that can be added to ({error}); move it away") from error
        if after == before:
            return ExportStatus.UNCHANGED
        with replacing(path) as temporary:
            temporary.write_bytes(after)
    return ExportStatus.WRITTEN


def _with_slides(text: str, names: Sequence[str]) -> str:
    """Return the table with a line for each of these slides; of a name that is a formula, with ``'`` before it."""
    reader = csv.DictReader(io.StringIO(text))
    columns = [*(reader.fieldnames or ()), *(name for name in COLUMNS if name not in (reader.fieldnames or ()))]
    rows: dict[str, Mapping[str, Any]] = {
        cell_text(str(row.get("slide_id", index))): row for index, row in enumerate(reader)
    }
    for name in names:
        done = {"slide_id": name, "process": 0, "status": "processed"}
        rows[name] = {**rows.get(name, {}), **done}
    return write_table([columns, *([row.get(column, "") for column in columns] for row in rows.values())])


CLAM = ExportLayout(
    "clam",
    "CLAM's folders: patches, and per encoder h5_files and pt_files",
    artifacts,
    write_lists,
    kinds=frozenset({"patch_features"}),
    cuts_patches=True,
)
