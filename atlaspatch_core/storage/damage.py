"""What of the stored files is not what was written any more, and how the next run learns of it: nothing is removed."""

import shutil
from contextlib import suppress
from pathlib import Path

import h5py

from atlaspatch_core.errors import AtlasPatchError, DamagedOutput, OutputInUse, UnreadableOutput, UnwritableOutput
from atlaspatch_core.storage.atomic import make_folder, replacing, slide_lock
from atlaspatch_core.storage.checksums import damage_of, file_damage, is_sealed
from atlaspatch_core.storage.disk import open_file
from atlaspatch_core.storage.hdf5 import DAMAGED, datasets_of
from atlaspatch_core.storage.hdf5_stamps import write_copied, write_marked, write_sealed
from atlaspatch_core.storage.last_line import bytes_damage
from atlaspatch_core.storage.ownership import check_replaceable
from atlaspatch_core.storage.records import has_checksum
from atlaspatch_core.storage.schema import COORDS, FEATURES, FINGERPRINT, PASSPORTS, TISSUE_FRACTION
from atlaspatch_core.storage.store import Store

UNREADABLE = (*DAMAGED, AttributeError, MemoryError, OverflowError, SystemError)
"""What h5py raises of files whose structure is damaged in ways that it does not foresee."""
WHOLE_FILE = ""
"""Stands for a file that cannot be opened as a whole."""


def damaged_parts(path: Path) -> dict[str, str]:
    """Return the datasets of an HDF5 file that are not what was written, each with a clause that says how.

    ``WHOLE_FILE`` stands for all where the file cannot be opened. Empty where all is as it was written, or was written
    without checksums. Raises OutputInUse.
    """
    try:
        with open_file(path, locking=False) as file:
            return parts_of(file)
    except OutputInUse:
        raise
    except UNREADABLE as error:
        return {WHOLE_FILE: f"cannot be read: {' '.join(str(error).split())}"}


def parts_of(file: h5py.File) -> dict[str, str]:
    """Return what ``damaged_parts`` does, of an open file. Raises one of ``UNREADABLE``."""
    parts = {name: clause for name, item in datasets_of(file).items() if (clause := dataset_damage(item))}
    main = FEATURES if isinstance(file.get(FEATURES), h5py.Dataset) else COORDS
    if clause := file_damage(file):
        parts.setdefault(main, clause)
    return parts


def dataset_damage(item: h5py.Dataset) -> str:
    """Return how a dataset is not what was written, also where it cannot be read any more; empty where it is."""
    try:
        return damage_of(item)
    except UNREADABLE as error:
        return f"cannot be read: {' '.join(str(error).split())}"


def without_checksums(path: Path) -> list[str]:
    """Return the results of a file that have none; those that cannot be read do not count."""
    with suppress(*UNREADABLE, OutputInUse), open_file(path, locking=False) as file:
        return [name for name, item in datasets_of(file).items() if FINGERPRINT in item.attrs and not is_sealed(item)]
    return []


def mark_damaged(store: Store, path: Path) -> str:
    """Have the next run compute anew what of a file is not what was written; return what was done, a clause, or "".

    Rows stay where they lie, under a fingerprint that is never valid; a file that cannot be opened, and a mask or
    record that is no more what was written, is moved to ``damaged/``. Outlines that a person drew are left alone, for
    no run can make them. Raises UnreadableOutput for files of others, OutputInUse, UnwritableOutput.
    """
    with slide_lock(_lock_folder(store, path), path.stem):
        if path.suffix == ".h5":
            return _mark_results(store, path)
        if path.suffix == ".geojson":
            return _set_aside(store, path) if is_damaged_mask(store, path.stem) else ""
        return _set_aside(store, path) if _is_unreadable_record(store, path.stem) else ""


def _lock_folder(store: Store, path: Path) -> Path:
    return path.parent if is_case(path) else store.output


def is_case(path: Path) -> bool:
    """Tell whether a file is that of a case, by where it lies."""
    return path.parent.parent.name == Store(Path()).case("any", "any").parent.parent.name


def _mark_results(store: Store, path: Path) -> str:
    parts = damaged_parts(path)
    if not parts:
        return _write_anew(path) if bytes_damage(path) else ""
    main = FEATURES if is_case(path) else COORDS
    owners = {main if name in (PASSPORTS, TISSUE_FRACTION) else name for name in parts}
    try:
        with replacing(path) as temporary:
            write_marked(path, sorted(owners))(temporary)
    except (*UNREADABLE, UnwritableOutput):
        check_replaceable(path, main, is_known=True)
        return _keep_others(store, path, owners - {WHOLE_FILE}, main)
    return "marked as damaged"


def _keep_others(store: Store, path: Path, damaged: set[str], main: str) -> str:
    """Move a file aside of which parts cannot even be marked, and leave in its place what else it holds."""
    if not damaged or main in damaged:
        return _set_aside(store, path)
    place = store.set_aside(path)
    make_folder(place.parent)
    shutil.copyfile(path, place)
    try:
        with replacing(path) as temporary:
            write_copied(path, damaged)(temporary)
    except (*UNREADABLE, AtlasPatchError):
        path.unlink()
    return f"moved to {place}"


def _write_anew(path: Path) -> str:
    with replacing(path) as temporary:
        write_copied(path, set())(temporary)
    return "written anew, for all that it holds is what was written"


def _set_aside(store: Store, path: Path) -> str:
    place = store.set_aside(path)
    make_folder(place.parent)
    path.replace(place)
    return f"moved to {place}"


def is_damaged_mask(store: Store, stem: str) -> bool:
    """Tell whether outlines that were made, and not drawn by a person, are not what was written."""
    try:
        record = store.read_record(stem)
    except UnreadableOutput:
        return False
    mask, outlines = record.tissue_mask, record.outlines
    if mask is None or outlines is None or mask.mtime_ns != outlines.mtime_ns:
        return False
    try:
        store.check_outlines(stem)
    except DamagedOutput:
        return True
    return False


def _is_unreadable_record(store: Store, stem: str) -> bool:
    try:
        store.read_record(stem)
    except UnreadableOutput:
        return True
    return False


def add_checksums(store: Store, path: Path) -> bool:
    """Give a file that has none the checksums of what lies there now; return whether it had none.

    Raises UnreadableOutput, UnwritableOutput.
    """
    if path.suffix == ".h5":
        if not without_checksums(path):
            return False
        with slide_lock(_lock_folder(store, path), path.stem), replacing(path) as temporary:
            write_sealed(path)(temporary)
        return True
    if path.suffix == ".geojson":
        is_lacking = store.read_record(path.stem).outlines is None
        store.note_outlines(path.stem) if is_lacking else None
        return is_lacking
    if is_lacking := not has_checksum(path):
        store.write_record_again(path.stem)
    return is_lacking
