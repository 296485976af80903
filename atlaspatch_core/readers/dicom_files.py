"""Which DICOM files are one slide, told by their headers, without a DICOM library."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

HEAD_BYTES = 65_536
SERIES = b"\x20\x00\x0e\x00"
"""Tag (0020,000E) SeriesInstanceUID, as little endian has it."""
SUFFIXES = (".dcm", ".dicom")


def is_dicom(path: Path) -> bool:
    """Say whether a file begins as DICOM files do (PS3.10: 128 bytes, then DICM)."""
    return path.is_file() and _head(path, 132)[128:] == b"DICM"


def series_of(path: Path) -> str:
    """Return the SeriesInstanceUID of a DICOM file; all instances of a slide have one. Empty where there is none."""
    head = _head(path, HEAD_BYTES)
    if head[128:132] != b"DICM":
        return ""
    at = head.find(SERIES, 132) + len(SERIES)
    if at < len(SERIES) or len(head) < at + 4:
        return ""
    if head[at : at + 2] == b"UI":  # explicit: two letters of the type, then the length in two bytes
        length, start = struct.unpack_from("<H", head, at + 2)[0], at + 4
    else:
        length, start = struct.unpack_from("<I", head, at)[0], at + 4
    return head[start : start + min(length, 64)].strip(b"\0 ").decode("ascii", "replace")


def is_series_folder(folder: Path) -> bool:
    """Say whether a folder without folders in it holds DICOM files, by suffix, all of one series."""
    first = None
    for name, is_folder in _entries(folder):
        if is_folder:
            return False
        if name.lower().endswith(SUFFIXES):
            series = series_of(folder / name)
            first = first or series
            if not series or series != first:
                return False
    return first is not None


def instances(path: Path) -> tuple[Path, ...]:
    """Return the files of the slide: those of a folder, or those beside a file that are of its series; sorted."""
    folder, asked = (path, "") if path.is_dir() else (path.parent, series_of(path))
    files = [folder / name for name, is_folder in _entries(folder) if not is_folder]
    return tuple(sorted(file for file in files if (series := series_of(file)) and series == (asked or series)))


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield name and whether it is a folder, but for hidden ones; nothing where the folder cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from ((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except OSError:
        return


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""
