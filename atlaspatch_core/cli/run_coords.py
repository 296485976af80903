"""Where the coords of ``atlaspatch run`` come from: our grid, a folder that was named, or a job of TRIDENT."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from atlaspatch_core.cli.run_request import RunOptions, RunRequest
from atlaspatch_core.errors import AtlasPatchError


@dataclass(frozen=True, slots=True)
class Coords:
    """Where coords come from, and what is known of their patches."""

    geometry: str
    """Folder of the results in the job's, and name of the geometry."""
    mag: float
    patch_size: int
    overlap: int
    supplied: Path | None = None
    """Folder of coords that somebody else laid."""


def coords_of(request: RunRequest) -> Coords:
    """Return where coords come from. Raises click.UsageError for a folder that cannot be meant."""
    from atlaspatch_core.layouts.supplied_coords import is_of_trident

    options = request.options
    folder = options.output / options.coords_dir if options.coords_dir else None
    mag, patch_size, overlap = _geometry(folder, request)
    if overlap >= patch_size:
        raise click.UsageError(
            f"--overlap {overlap} px must be less than --patch-size {patch_size} px, or patches would not move on."
        )
    name = f"{mag:g}x_{patch_size}px_{overlap}px_overlap"
    if options.task == "seg":
        return Coords(name, mag, patch_size, overlap)
    own = options.output / name
    if (folder is None or folder.resolve() == own.resolve()) and is_of_trident(own):
        return Coords(name, mag, patch_size, overlap, own)
    if folder is None:
        return Coords(name, mag, patch_size, overlap)
    if _holds_coords(folder) and not _is_ours(folder, options.output):
        return Coords(f"{name}_supplied", mag, patch_size, overlap, folder)
    return Coords(_subfolder(folder, options), mag, patch_size, overlap)


def _subfolder(folder: Path, options: RunOptions) -> str:
    """Return the name of a folder of the job in which our coords lie, or are to lie."""
    from atlaspatch_core.config.sections import GEOMETRY_NAME

    name = folder.resolve().name
    inside = folder.resolve().parent == options.output.resolve() and GEOMETRY_NAME.fullmatch(name)
    if inside and (_holds_coords(folder) or options.task != "feat"):
        return name
    typed, cure = options.coords_dir, "name a folder with <slide>_patches.h5 or <slide>.h5 in it"
    if options.task == "feat":
        raise click.UsageError(f"--coords-dir {typed}: there are no coords in {folder}; {cure}.")
    raise click.UsageError(f"--coords-dir {typed}: coords are laid in subfolders of {options.output} only; {cure}.")


def _geometry(folder: Path | None, request: RunRequest) -> tuple[float, int, int]:
    """Return magnification, patch size and overlap: as typed, or else as the first of existing coords says."""
    from atlaspatch_core.layouts.supplied_coords import first_stated

    options = request.options
    stated = first_stated(folder) if folder and options.task != "seg" else None
    theirs = (stated.target_magnification, stated.patch_size, stated.overlap) if stated else (None, None, None)

    def choose(name: str, of_coords: float | None, typed: float) -> float:
        return typed if of_coords is None or name in request.typed_names else of_coords

    mag = choose("mag", theirs[0], options.mag)
    patch_size = choose("patch_size", theirs[1], options.patch_size)
    return float(mag), int(patch_size), int(choose("overlap", theirs[2], options.overlap))


def _holds_coords(folder: Path) -> bool:
    from atlaspatch_core.layouts.supplied_coords import files_of

    return bool(files_of(folder))


def _is_ours(folder: Path, output: Path) -> bool:
    """Tell whether coords lie where this package laid them: in the job's own folder, each with its fingerprint."""
    from atlaspatch_core.storage.hdf5 import read_stored_results
    from atlaspatch_core.storage.schema import COORDS
    from atlaspatch_core.storage.store import Store

    if folder.resolve().parent != output.resolve():
        return False
    files = sorted(Store(folder).h5("any").parent.glob("*.h5"))
    try:
        results = read_stored_results(files[0]) if files else {}
    except AtlasPatchError:
        return False
    return COORDS in results and results[COORDS].fingerprint is not None


def coords_values(coords: Coords) -> dict[str, Any]:
    """Return size and place of the patches."""
    return {
        "name": coords.geometry,
        "patch_size": coords.patch_size,
        "step_size": coords.patch_size - coords.overlap if coords.overlap else None,
        "target_mag": coords.mag,
        "coords": coords.supplied,
    }
