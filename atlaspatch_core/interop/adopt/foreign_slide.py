"""The results of one slide as others wrote them, ready to be matched to patches of ours."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.interop.adopt.encoders import our_patch_encoder, our_slide_encoder
from atlaspatch_core.layouts.found import FolderLayout, Group, Holds, ResultFile
from atlaspatch_core.layouts.hdf5_files import CANNOT, StatedGeometry, opened, results_in, stated_in, undamaged_corners
from atlaspatch_core.layouts.names import GeometryName
from atlaspatch_core.layouts.soundness import ODD, check_features, text_of
from atlaspatch_core.layouts.tensors import read_tensor
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.checksums import read_checked

Corners = NDArray[np.int64]
"""Shape (n, 2): x, y of top-left corners, level-0 px."""


@dataclass(frozen=True, slots=True, eq=False)
class VectorTable:
    """Features or an embedding, not read yet."""

    holds: Holds
    encoder: str
    """Our name of what made it."""
    path: Path
    dataset: str
    """Empty for a ``.pt`` file."""
    corners: Corners
    """Row by row; of an embedding, the patches that it was made of."""


@dataclass(frozen=True, slots=True, eq=False)
class ForeignSlide:
    """What there is of one slide in one geometry."""

    stem: str
    path: Path
    """File that holds the coords."""
    corners: Corners
    """Each patch once, in the order of the file."""
    stated: StatedGeometry
    name: GeometryName | None
    """What the folder's name says."""
    tables: tuple[VectorTable, ...]


def read_foreign(
    group: Group, files: Iterable[ResultFile], layout: FolderLayout, encoder: str = ""
) -> ForeignSlide | None:
    """Return what there is of one slide; None where no file has coords.

    ``encoder`` made the features that do not say what made them. Files that cannot be read raise UnreadableOutput.
    """
    slide: ForeignSlide | None = None
    tables: list[VectorTable] = []
    for file in sorted(
        files, key=lambda file: (file.holds not in (Holds.COORDS, Holds.ALL), file.path.suffix == ".pt")
    ):
        if file.path.suffix == ".pt":
            tables += _tensor(file, slide, layout, encoder)
            continue
        try:
            corners, stated, tables_in_file = _read(file, layout, encoder)
        except CANNOT as error:
            raise UnreadableOutput(
                f"{file.stem}: {file.path} cannot be read ({error}); 'atlaspatch audit' lists such files"
            ) from error
        if slide is None and corners is not None and file.holds is not Holds.EMBEDDING:
            slide = ForeignSlide(file.stem, file.path, _once(corners), stated, group.name, ())
        tables += tables_in_file
    return slide and _with_tables(slide, tables)


def _with_tables(slide: ForeignSlide, tables: Iterable[VectorTable]) -> ForeignSlide:
    """Return the slide with one table an encoder: HDF5 files, which come first, say which row is which patch."""
    first: dict[tuple[Holds, str], VectorTable] = {}
    for table in tables:
        first.setdefault((table.holds, table.encoder), table)
    return ForeignSlide(slide.stem, slide.path, slide.corners, slide.stated, slide.name, tuple(first.values()))


def _read(
    file: ResultFile, layout: FolderLayout, encoder: str
) -> tuple[Corners | None, StatedGeometry, list[VectorTable]]:
    with opened(file.path) as content:
        corners = undamaged_corners(content) if isinstance(content.get("coords"), h5py.Dataset) else None
        rows = np.zeros((0, 2), np.int64) if corners is None else corners
        tables = [
            VectorTable(
                result.holds, _named(result.holds, result.encoder or encoder, layout), file.path, result.dataset, rows
            )
            for result in results_in(content, file)
            if isinstance(content.get(result.dataset), h5py.Dataset) and content[result.dataset].size
        ]
        return corners, stated_in(content), tables


def _tensor(file: ResultFile, slide: ForeignSlide | None, layout: FolderLayout, encoder: str) -> Iterator[VectorTable]:
    """Yield a tensor, whose rows are those of the coords beside it."""
    if slide:
        yield VectorTable(file.holds, _named(file.holds, file.encoder or encoder, layout), file.path, "", slide.corners)


def _named(holds: Holds, name: str, layout: FolderLayout) -> str:
    return our_slide_encoder(name, layout) if holds is Holds.EMBEDDING else our_patch_encoder(name, layout)


def _once(corners: Corners) -> Corners:
    _, first = np.unique(corners, axis=0, return_index=True)
    return corners[np.sort(first)]


def geometry_of(slide: ForeignSlide, info: SlideInfo) -> tuple[GeometryName | None, float | None]:
    """Return the geometry of a slide's patches, and their side in level-0 px, as far as its files say it."""
    stated, name = slide.stated, slide.name
    if stated.patch_size and stated.patch_level is not None:
        level = min(int(stated.patch_level), len(info.levels) - 1)
        downsample = info.levels[level].downsample * (stated.custom_downsample or 1)
        return GeometryName(info.magnification / downsample, int(stated.patch_size), 0), stated.patch_size * downsample
    if stated.patch_size and stated.target_magnification:
        overlap = stated.overlap if stated.overlap is not None else (name.overlap if name else 0)
        return GeometryName(stated.target_magnification, int(stated.patch_size), int(overlap)), stated.patch_size_level0
    return name, stated.patch_size_level0


def contradiction(slide: ForeignSlide, info: SlideInfo) -> str:
    """Return why the results cannot be those of a slide, or an empty text."""
    if info.file_levels:
        return "they count px of the file, which are not square, and the project has them made square (square_pixels)"
    size = slide.stated.size
    if size and size != (info.width, info.height):
        return f"they are of a slide of {size[0]} × {size[1]} px, this one has {info.width} × {info.height} px"
    outside = int(((slide.corners < 0) | (slide.corners >= (info.width, info.height))).any(axis=1).sum())
    if outside:
        return f"{outside} of {len(slide.corners)} patches begin outside the slide of {info.width} × {info.height} px"
    return ""


def same_side(stated_side: float | None, side: int) -> bool:
    """Say whether patches have that side, level-0 px; what is told may be rounded down."""
    return stated_side is None or isclose(stated_side, side, abs_tol=1.0)


def read_vector(table: VectorTable) -> NDArray[np.float32]:
    """Return an embedding, shape (dim,). Raises UnreadableOutput."""
    return np.asarray(_values(table), np.float32).reshape(-1)


def read_rows_of(table: VectorTable, corners: Corners) -> NDArray[np.float32] | str:
    """Return the features of these patches, in their order, shape (n, dim), or why there are none to be had."""
    values = _values(table)
    if values.ndim != 2 or len(values) != len(table.corners):
        return f"it has {len(values)} rows for {len(table.corners)} patches"
    if values.dtype.kind != "f":
        return f"its numbers are of type {values.dtype}"
    rows = match_rows(table.corners, corners)
    if lacking := int((rows < 0).sum()):
        return f"it lacks {lacking} of the {len(corners)} patches"
    features = np.asarray(values, np.float32)[rows]
    return text_of(check_features(features), but=ODD) or features


def match_rows(theirs: Corners, ours: Corners) -> NDArray[np.int64]:
    """Return the row of each of our patches among theirs, -1 where there is none; the first where there are several."""
    keys, first = np.unique(_keys(theirs), return_index=True)
    our_keys = _keys(ours)
    if not len(keys):
        return np.full(len(our_keys), -1, np.int64)
    place = np.searchsorted(keys, our_keys).clip(max=len(keys) - 1)
    return np.where(keys[place] == our_keys, first[place], -1).astype(np.int64)


def _keys(corners: Corners) -> NDArray[np.int64]:
    return corners[:, 0].astype(np.int64) << 32 | corners[:, 1].astype(np.int64) & 0xFFFFFFFF


def _values(table: VectorTable) -> NDArray[Any]:
    if not table.dataset:
        return read_tensor(table.path)
    try:
        with opened(table.path) as file:
            return np.asarray(read_checked(file[table.dataset], table.path))
    except CANNOT as error:
        raise UnreadableOutput(f"{table.path.stem}: {table.path} cannot be read ({error}); compute it again") from error
