"""Coordinates that a person supplies: HDF5 files of this package, TRIDENT, AtlasPatch or CLAM, found by stem."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.errors import MissingCoords, UnusableCoords
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.layouts.hdf5_files import CANNOT, StatedGeometry, opened, stated_in, undamaged_corners
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import MPP_TOLERANCE, Sampling, level_facts
from atlaspatch_core.slides.slide import NamesOf, SlideInfo, only_stem
from atlaspatch_core.storage.schema import FILE_PX, FINGERPRINT, RULE

FOLDERS = ("patches", ".")
"""Where below the given folder files are looked for."""
OF_TRIDENT = "_patches.h5"
"""How the names of TRIDENT's files end."""
NAMES = ("{stem}" + OF_TRIDENT, "{stem}.h5")
SUPPLIED = "supplied"
"""The rule of coords that no rule of ours laid."""
MOST_OFF = 1.3
"""Most by which the scale of supplied patches may differ from the one asked for: nominal scales are off by 20 %."""


@dataclass(frozen=True, slots=True)
class SuppliedCoords:
    """The coords of one slide as somebody else laid them."""

    path: Path
    grid: PatchGrid
    """Corners in the file's own order, each within the slide; tissue shares are NaN where nobody measured them."""
    overlap: int
    """px at the scale of the patches that neighbours share, as the file says; 0 where it does not say it."""

    def facts(self, info: SlideInfo) -> dict[str, Any]:
        """Return what decides them: the corners, as a fingerprint, and how they are cut."""
        corners = short_hash(self.grid.coords.tobytes().hex())
        sampling = self.grid.sampling
        return {"corners": corners, "mpp": info.mpp, "sampling": sampling.facts()} | level_facts(info, sampling.level)


def find_coords(folder: Path, stem: str, names_of: NamesOf = only_stem) -> Path:
    """Return the file that holds the coords of a slide; ours, where TRIDENT's files were written beside it.

    Args:
        folder: Folder of coords; files lie in it, or in ``patches`` below it.
        stem: The slide.
        names_of: Tells from its stem what its file may be called.

    Returns:
        The path of ``<stem>.h5`` or ``<stem>_patches.h5``.

    Raises:
        MissingCoords: There is none.
        UnusableCoords: There are two.

    Example:
        >>> find_coords(Path("out"), "CMU-1-Small-Region").as_posix()
        'out/patches/CMU-1-Small-Region.h5'
    """
    for below in FOLDERS:
        called = [name.format(stem=one) for one in names_of(stem) for name in NAMES]
        paths = [path for name in called if (path := folder / below / name).is_file()]
        paths = [path for path in paths if len(paths) == 1 or _rule(path) != SUPPLIED]  # not what was taken from them
        paths = [path for path in paths if len(paths) == 1 or _rule(path)] or paths
        if len(paths) > 1:
            raise UnusableCoords(f"{stem}: {' and '.join(map(str, paths))} are both its coords; leave one")
        if paths:
            return paths[0]
    expected = " or ".join(name.format(stem=stem) for name in NAMES)
    raise MissingCoords(f"{stem}: there are no coords in {folder}; put {expected} there, or into its subfolder patches")


def _rule(path: Path) -> str:
    """Return by which rule this package laid the coords in a file; empty where it did not."""
    try:
        with opened(path) as file:
            return str(file.attrs.get(RULE, "lattice")) if FINGERPRINT in file["coords"].attrs else ""
    except CANNOT:
        return ""


def is_of_trident(folder: Path) -> bool:
    """Tell whether TRIDENT laid the coords of a geometry's folder: what is ours there, if anything, was taken of them.

    Coords that were exported for TRIDENT lie beside those that we laid.
    """
    files = sorted((folder / FOLDERS[0]).glob("*.h5"))
    theirs = [path for path in files if path.name.endswith(OF_TRIDENT) and not _rule(path)]
    ours = (path for path in files if not path.name.endswith(OF_TRIDENT))
    return bool(theirs) and _rule(next(ours, theirs[0])) in ("", SUPPLIED)


def files_of(folder: Path) -> list[Path]:
    """Return all files that may hold coords, sorted; empty where there are none."""
    by_folder = (sorted((folder / below).glob("*.h5")) for below in FOLDERS if (folder / below).is_dir())
    return next((files for files in by_folder if files), [])


def read_coords(path: Path, info: SlideInfo, geometry: Geometry) -> SuppliedCoords:
    """Return the coords in a file of this package, TRIDENT, AtlasPatch or CLAM, with the scale that its attributes say.

    Args:
        path: The HDF5 file.
        info: The slide that the coords are of.
        geometry: The patch size and scale that are asked for.

    Returns:
        The grid: corners in the file's order, shape (n, 2), level-0 px; and how patches are cut.

    Raises:
        UnusableCoords: The file cannot be read or does not say its scale, a corner lies beyond the slide, or the file
            is of another slide, patch size or scale.

    Example:
        >>> path = find_coords(Path("out"), slide.info.stem)
        >>> coords = read_coords(path, slide.info, recipe.project.geometry[0])
        >>> coords.grid.coords.shape, coords.grid.sampling.patch_size_level0
        ((56, 2), 256)
    """
    try:
        with opened(path) as file:
            corners, stated = undamaged_corners(file), stated_in(file)
            columns = _columns(file["coords"])
            file_px = tuple(np.asarray(file.attrs.get(FILE_PX, (1.0, 1.0)), float).tolist())
    except CANNOT as error:
        raise UnusableCoords(f"{info.stem}: {path} holds no coords that can be read ({error}); replace it") from error
    if not np.allclose(file_px, info.file_px):
        raise UnusableCoords(
            f"{info.stem}: {path} counts {_px(file_px)} px of the slide's file as one of level 0, and the slide is "
            f"read with {_px(info.file_px)} (--square-pixels); supply coords made so, too"
        )
    _check_corners(corners, stated, info, path)
    sampling = _sampling(stated, columns, info, geometry, path)
    _check_sampling(sampling, info, geometry, path)
    fraction = np.full(len(corners), np.nan, np.float32)
    return SuppliedCoords(path, PatchGrid(corners.astype(np.int32), fraction, sampling), int(stated.overlap or 0))


def as_supplied(path: Path, grid: PatchGrid, info: SlideInfo, geometry: Geometry) -> SuppliedCoords:
    """Return a grid of ours as ``read_coords`` returns it once it lies at ``path``."""
    side, overlap = grid.sampling.patch_size_level0, geometry.spec.overlap
    scales = {"target_magnification": geometry.magnification, "level0_magnification": round(info.magnification)}
    stated = StatedGeometry(patch_size=geometry.patch_size, patch_size_level0=side, overlap=overlap, **scales)
    columns = (grid.sampling.read_size, grid.sampling.level) if len(grid) else None
    return SuppliedCoords(path, replace(grid, sampling=_sampling(stated, columns, info, geometry, path)), overlap)


def _px(sides: tuple[float, ...]) -> str:
    return " × ".join(f"{side:.6g}" for side in sides)


def _columns(coords: h5py.Dataset) -> tuple[int, int] | None:
    """Return the read size and the level of five-column coords, where all rows agree."""
    if coords.ndim != 2 or coords.shape[1] != 5 or not len(coords):
        return None
    read = np.unique(coords[:, 2:], axis=0)
    return (int(read[0, 0]), int(read[0, 2])) if len(read) == 1 and read[0, 0] == read[0, 1] else None


def _check_corners(corners: NDArray[np.int64], stated: StatedGeometry, info: SlideInfo, path: Path) -> None:
    """Raise UnusableCoords for coords of another slide. Sides of 0 px are not known."""
    size = (info.width, info.height)
    if not all(size):
        return
    if stated.size and stated.size != size:
        raise UnusableCoords(
            f"{info.stem}: {path} is of a slide of {stated.size[0]} × {stated.size[1]} px, this one has "
            f"{size[0]} × {size[1]}; supply its own coords"
        )
    beyond = ((corners < 0) | (corners >= size)).any(axis=1)
    if beyond.any():
        x, y = corners[beyond][0].tolist()
        raise UnusableCoords(
            f"{info.stem}: {int(beyond.sum())} of {len(corners)} patches in {path} begin beyond the slide of "
            f"{size[0]} × {size[1]} px, the first at ({x}, {y}); supply its own coords, in level-0 px"
        )


def _sampling(
    stated: StatedGeometry, columns: tuple[int, int] | None, info: SlideInfo, geometry: Geometry, path: Path
) -> Sampling:
    """Return how the patches are cut: CLAM says a level and px of it, the others px of level 0."""
    size = round(stated.patch_size or geometry.patch_size)
    downsample = _downsample(stated, info, size, path)
    level, read_size = _reading(stated, columns, info, size, downsample)
    side, step = round(size * downsample), round((size - (stated.overlap or 0)) * downsample)
    mpp = info.mpp * info.levels[level].downsample * read_size / size
    sides = (size, level, read_size, max(1, side), max(1, step))
    return Sampling(*sides, mpp, geometry.spec.fill, geometry.spec.resampling)


def _downsample(stated: StatedGeometry, info: SlideInfo, size: int, path: Path) -> float:
    """Return level-0 px per px of a patch."""
    if stated.patch_level is not None and stated.patch_size_level0 is None:
        level = int(stated.patch_level)
        if not 0 <= level < len(info.levels):
            raise UnusableCoords(
                f"{info.stem}: {path} is of level {level}, the slide has {len(info.levels)}; supply its own coords"
            )
        return info.levels[level].downsample * (stated.custom_downsample or 1)
    if not stated.patch_size_level0:
        raise UnusableCoords(
            f"{info.stem}: {path} says neither patch_size_level0 nor patch_level, so that the scale of its patches is "
            "not known; add the attribute patch_size_level0 to coords"
        )
    side = stated.patch_size_level0
    exact = (stated.level0_magnification or 0) / (stated.target_magnification or 1)
    return exact if abs(exact * size - side) <= 1 else side / size


def _reading(
    stated: StatedGeometry, columns: tuple[int, int] | None, info: SlideInfo, size: int, downsample: float
) -> tuple[int, int]:
    """Return the level and the side to read: what the file says, or else the coarsest level that has the detail."""
    if columns and columns[1] < len(info.levels):
        return columns[1], columns[0]
    if stated.patch_level is not None and stated.patch_size_level0 is None:
        return int(stated.patch_level), max(1, round(size * (stated.custom_downsample or 1)))
    reach = downsample * (1 + MPP_TOLERANCE)
    level = max((index for index, level in enumerate(info.levels) if level.downsample <= reach), default=0)
    native = abs(info.levels[level].downsample / downsample - 1) <= MPP_TOLERANCE
    return level, size if native else max(1, round(size * downsample / info.levels[level].downsample))


def _check_sampling(sampling: Sampling, info: SlideInfo, geometry: Geometry, path: Path) -> None:
    """Raise UnusableCoords for patches of another size or scale than those asked for."""
    if sampling.patch_size != geometry.patch_size:
        raise UnusableCoords(
            f"{info.stem}: the patches in {path} are {sampling.patch_size} px wide, {geometry.patch_size} px are asked "
            f"for; give the patch size {sampling.patch_size}"
        )
    if not 1 / MOST_OFF <= sampling.mpp / geometry.mpp <= MOST_OFF:
        raise UnusableCoords(
            f"{info.stem}: the patches in {path} have {sampling.mpp:.4g} µm/px, asked for is {geometry.mpp:.4g} µm/px; "
            f"give the magnification {10 / sampling.mpp:.3g}"
        )


def first_stated(folder: Path) -> StatedGeometry | None:
    """Return what the first readable file of a folder says of its patches; None where none can be read."""
    for path in files_of(folder):
        try:
            with opened(path) as file:
                if "coords" in file:
                    return stated_in(file)
        except CANNOT:
            continue
    return None
