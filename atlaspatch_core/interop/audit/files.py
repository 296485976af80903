"""One file of results: is it whole, are its values sound, and does it fit its slide?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.isolation.leases import run_isolated
from atlaspatch_core.isolation.process import ProcessDied
from atlaspatch_core.layouts.found import Holds, ResultFile
from atlaspatch_core.layouts.hdf5_files import (
    CANNOT,
    ResultDataset,
    StatedGeometry,
    attention_in,
    corners_of,
    opened,
    results_in,
    stated_in,
)
from atlaspatch_core.layouts.soundness import (
    check_attention,
    check_embedding,
    check_features,
    check_rows,
    check_written,
    count_beyond,
    count_negative,
)
from atlaspatch_core.layouts.tensors import read_tensor
from atlaspatch_core.storage.checksums import has_checksums
from atlaspatch_core.storage.disk import read_whole
from atlaspatch_core.storage.schema import COORDS, PASSPORTS, TISSUE_FRACTION
from atlaspatch_core.tissue.quality import QualityFinding

OF_COORDS = (COORDS, PASSPORTS, TISSUE_FRACTION)
"""Datasets of our files that are written together."""


@dataclass(frozen=True, slots=True)
class TableStats:
    """Features or an embedding: its form."""

    holds: Holds
    encoder: str
    rows: int
    dim: int
    dtype: str


@dataclass(slots=True)
class InspectedFile:
    """What is remembered of a file, to hold it against others."""

    file: ResultFile
    findings: list[AuditFinding] = field(default_factory=list)
    stated: StatedGeometry | None = None
    patches: int | None = None
    """Rows of coords; None where there are none."""
    corners: str = ""
    """Hash of the set of corners."""
    reach: tuple[int, int] = (0, 0)
    """Largest x and y of a corner, level-0 px."""
    tables: list[TableStats] = field(default_factory=list)

    def add(self, kind: str, text: str, value: object = "", bound: object = "") -> None:
        """Note a finding on this file."""
        self.findings.append(AuditFinding(kind, self.file.stem, self.file.path, text, str(value), str(bound)))


def inspect_file(file: ResultFile) -> InspectedFile:
    """Return what is found in one file; one that cannot be read is a finding, never an exception."""
    inspected = InspectedFile(file)
    try:
        _tensor(inspected) if file.path.suffix == ".pt" else _hdf5(inspected)
    except UnreadableOutput as error:
        inspected.add("unreadable", str(error).split("; ")[0].split(f"{file.path} ")[-1])
    except CANNOT as error:
        inspected.add("unreadable", f"cannot be read: {_plain(error)}")
    return inspected


def inspect_apart(file: ResultFile) -> InspectedFile:
    """Return what ``inspect_file`` does; a file that crashes the library of HDF5 is a finding, too."""
    if file.path.suffix == ".pt":
        return inspect_file(file)
    try:
        return run_isolated(inspect_file, file)
    except ProcessDied as death:
        inspected = InspectedFile(file)
        inspected.add("unreadable", f"cannot be read, what reads it is {death}")
        return inspected


def _plain(error: Exception) -> str:
    return str(error).replace("\n", " ").strip("'\"") or repr(error)


def _tensor(inspected: InspectedFile) -> None:
    values = read_tensor(inspected.file.path)
    if values.ndim == 1 and inspected.file.holds is not Holds.EMBEDDING:
        values = values.reshape(0, 0) if not values.size else values[None]
    _table(inspected, ResultDataset(inspected.file.holds, inspected.file.encoder, ""), values)


def _hdf5(inspected: InspectedFile) -> None:
    with opened(inspected.file.path) as file:
        inspected.stated = stated_in(file)
        if isinstance(file.get("coords"), h5py.Dataset):
            if _is_written(inspected, check_written(file, OF_COORDS, whole=True)):
                _coords(inspected, corners_of(file))
        elif has_checksums(file):
            inspected.add("damaged", "lacks the coords that were written", 0, "≥ 1")
        elif inspected.file.holds is not Holds.EMBEDDING:
            inspected.add("no_coords", "holds no coords", 0, "≥ 1")
        for name in _half_written(file):
            inspected.add("half_written", f"{name} was left half-written", len(file[name]))
        for result in results_in(file, inspected.file):
            _result(inspected, file, result)
        for name in attention_in(file):
            _attention(inspected, file, name)


def _is_written(inspected: InspectedFile, finding: QualityFinding) -> bool:
    """Note where something is not what was written, of which nothing else is worth being told."""
    if not finding.passed:
        inspected.add(finding.name, finding.text, f"{finding.value:.10g}", "0")
    return finding.passed


def _half_written(file: Any) -> Iterator[str]:
    for folder in ("features", "slide_features"):
        if isinstance(file.get(folder), h5py.Group):
            yield from (f"{folder}/{name}" for name in file[folder] if name.startswith("__tmp_"))


def _coords(inspected: InspectedFile, corners: NDArray[np.int64]) -> None:
    inspected.patches = len(corners)
    if not len(corners):
        if inspected.file.holds in (Holds.COORDS, Holds.ALL):
            inspected.add("empty", "has no patch", 0)
        return
    unique = np.unique(corners, axis=0)
    inspected.corners = short_hash(unique.tobytes().hex())
    inspected.reach = int(corners[:, 0].max()), int(corners[:, 1].max())
    if negative := count_negative(corners):
        inspected.add(
            "negative", f"{negative} of {len(corners)} patches begin at a negative x or y", corners.min(), "≥ 0"
        )
    if twice := len(corners) - len(unique):
        inspected.add("twice", f"{twice} of {len(corners)} patches occur more than once", twice, 0)
    if inspected.stated and inspected.stated.size:
        note_beyond(inspected, inspected.stated.size, corners)


def note_beyond(inspected: InspectedFile, size: tuple[int, int], corners: NDArray[np.int64] | None = None) -> None:
    """Note patches that begin beyond a slide of so many level-0 px; without ``corners`` only the farthest counts."""
    points = np.array([inspected.reach]) if corners is None else corners
    if outside := count_beyond(points, size):
        farthest = " × ".join(str(coordinate) for coordinate in inspected.reach)
        count = "patches begin" if corners is None else f"{outside} of {len(corners)} patches begin"
        x, y = inspected.reach
        text = f"{count} beyond the slide: up to x, y = {x}, {y} of {size[0]} × {size[1]} px"
        inspected.add("outside", text, farthest, f"< {size[0]} × {size[1]}")


def _result(inspected: InspectedFile, file: Any, result: ResultDataset) -> None:
    item = file.get(result.dataset)
    if not isinstance(item, h5py.Dataset):
        inspected.add("unreadable", f"holds no dataset {result.dataset!r}")
        return
    try:
        if _is_written(inspected, check_written(file, [result.dataset])):
            _table(inspected, result, item)
    except CANNOT as error:
        inspected.add("unreadable", f"{result.dataset} cannot be read: {_plain(error)}")


def _attention(inspected: InspectedFile, file: Any, name: str) -> None:
    """Look at the attention of a slide encoder, (n,) or (n, heads)."""
    try:
        if _is_written(inspected, check_written(file, [name])):
            values = read_whole(file[name])
            _note(inspected, name, check_attention(values, inspected.patches))
    except CANNOT as error:
        inspected.add("unreadable", f"{name} cannot be read: {_plain(error)}")


def _table(inspected: InspectedFile, result: ResultDataset, values: Any) -> None:
    """Look at features (n, d) or an embedding (d,)."""
    name = result.encoder or str(result.holds)
    if values.dtype.kind != "f":
        inspected.add("not_float", f"{name} is of type {values.dtype}, not a float", values.dtype, "float32")
        return
    if result.holds is Holds.EMBEDDING:
        _note(inspected, name, check_embedding(values))
    elif values.ndim != 2:
        if values.size or inspected.patches:
            inspected.add("rows", f"{name} has shape {values.shape}, not (patches, dim)", values.shape, "(n, d)")
            return
    else:
        _features(inspected, name, values)
    rows, dim = (1, int(np.prod(values.shape))) if result.holds is Holds.EMBEDDING else (len(values), values.shape[-1])
    inspected.tables.append(TableStats(result.holds, result.encoder, rows, dim, str(values.dtype)))
    if str(values.dtype) not in ("float32", "float16"):
        inspected.add("dtype", f"{name} is of type {values.dtype}", values.dtype, "float32")


def _features(inspected: InspectedFile, name: str, values: Any) -> None:
    if inspected.patches is not None:
        _note(inspected, name, [check_rows(len(values), inspected.patches)])
    _note(inspected, name, check_features(values))


def _note(inspected: InspectedFile, name: str, findings: Iterable[QualityFinding]) -> None:
    for finding in findings:
        if not finding.passed:
            inspected.add(finding.name, f"{name}: {finding.text}", f"{finding.value:.10g}", f"{finding.bound:.10g}")


def pictured(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, for texts."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
