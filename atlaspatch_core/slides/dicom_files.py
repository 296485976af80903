"""Which DICOM files are one slide, told by their headers, without a DICOM library."""

import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from atlaspatch_core.slides.first_bytes import read_head

HEAD_BYTES = 65_536
SERIES = b"\x20\x00\x0e\x00"
"""Tag (0020,000E) SeriesInstanceUID, as little endian has it."""
PYRAMID = b"\x08\x00\x19\x00"
"""Tag (0008,0019) PyramidUID; the same."""
VOLUME = b"VOLUME"
"""Third value of ImageType of a level of the scan (DICOM PS3.3)."""
IMAGE_TYPE = b"\x08\x00\x08\x00"
"""Tag (0008,0008) ImageType; the same."""
PICTURES = (b"LABEL", b"OVERVIEW", b"THUMBNAIL")
"""The same of instances beside the scan."""
SUFFIXES = (".dcm", ".dicom")
FILES_REMEMBERED = 131_072
"""Headers that are not read again by a sensor that looks every 30 s, as long as size and time are the same."""


def is_dicom(path: Path) -> bool:
    """Say whether a file begins as DICOM files do (PS3.10: 128 bytes, then DICM)."""
    return path.is_file() and read_head(path, 132)[128:] == b"DICM"


def is_dicom_name(name: str) -> bool:
    """Say whether a file name has the suffix of a DICOM file."""
    return name.lower().endswith(SUFFIXES)


def series_of(path: Path) -> str:
    """Return the SeriesInstanceUID of a DICOM file; all instances of a slide have one. Empty where there is none."""
    return uid_in(read_head(path, HEAD_BYTES), SERIES)


def pyramid_count(path: Path) -> int:
    """Return how many pyramids the instances of a slide name; 1 where they name none."""
    uids = {uid_in(read_head(file, HEAD_BYTES), PYRAMID) for file in instances(path)} - {""}
    return max(1, len(uids))


def files_by_pyramid(files: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Return the files of a slide by the PyramidUID that they name; all together where they name one, or none.

    Of several pyramids the files without an image of the scan, such as the label, belong to none.
    """
    heads = [read_head(file, HEAD_BYTES) for file in files]
    uids = [uid_in(head, PYRAMID) for head in heads]
    if len({*uids} - {""}) < 2:
        return (tuple(files),)
    scans = {uid for uid, head in zip(uids, heads, strict=True) if VOLUME in head}
    return tuple(
        tuple(file for file, of in zip(files, uids, strict=True) if of == uid)
        for uid in dict.fromkeys(uids)
        if uid in scans
    )


def is_picture(path: Path) -> bool:
    """Say whether a file is of a picture beside the scan: a label, an overview or a thumbnail."""
    kinds = _image_type(read_head(path, HEAD_BYTES))
    return VOLUME not in kinds and any(kind in kinds for kind in PICTURES)


def _image_type(head: bytes) -> bytes:
    """Return the value of ImageType; the whole head where it has none. Frames of a label may call themselves VOLUME."""
    at = head.find(IMAGE_TYPE, 132) + len(IMAGE_TYPE)
    if at < len(IMAGE_TYPE) or len(head) < at + 4:
        return head
    is_explicit = head[at : at + 2] == b"CS"  # as in ``uid_in``
    (length,) = struct.unpack_from("<H" if is_explicit else "<I", head, at + 2 * is_explicit)
    return head[at + 4 : at + 4 + length]


def uid_in(head: bytes, tag: bytes) -> str:
    """Return the UID under a tag, as the head of a DICOM file has it; empty where it has none."""
    if head[128:132] != b"DICM":
        return ""
    at = head.find(tag, 132) + len(tag)
    if at < len(tag) or len(head) < at + 4:
        return ""
    if head[at : at + 2] == b"UI":  # explicit: two letters of the type, then the length in two bytes
        length, start = struct.unpack_from("<H", head, at + 2)[0], at + 4
    else:
        length, start = struct.unpack_from("<I", head, at)[0], at + 4
    return head[start : start + min(length, 64)].strip(b"\0 ").decode("ascii", "replace")


def slides_among(folder: Path, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the DICOM files of a folder, by name, as slides: the instances of one series are one.

    Where the readable ones are of one series, the others are taken to be of it too: they are still being copied. Slides
    and their files are sorted.
    """
    if len(names) < 2:
        return tuple((name,) for name in names)
    by_series: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        by_series[_series_now(folder / name)].append(name)
    unread = by_series.pop("", [])
    if len(by_series) < 2:
        return (tuple(sorted(names)),)
    return tuple(sorted([*map(tuple, by_series.values()), *((name,) for name in unread)]))


def is_series_folder(folder: Path) -> bool:
    """Say whether a folder without folders in it holds DICOM files, by suffix, all of one series."""
    entries = list(_entries(folder))
    names = [name for name, is_folder in entries if not is_folder and is_dicom_name(name)]
    if not names or any(is_folder for _, is_folder in entries):
        return False
    return len(slides_among(folder, names)) == 1 and any(_series_now(folder / name) for name in names)


def instances(path: Path) -> tuple[Path, ...]:
    """Return the files of the slide: those of a folder, or those beside a file that are of its series; sorted."""
    folder = path if path.is_dir() else path.parent
    names = [name for name, is_folder in _entries(folder) if not is_folder and is_dicom_name(name)]
    slides = slides_among(folder, names)
    if folder == path:
        return tuple(folder / name for slide in slides for name in slide)
    return next((tuple(folder / name for name in slide) for slide in slides if path.name in slide), (path,))


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield name and whether it is a folder, but for hidden ones; nothing where the folder cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from ((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except OSError:
        return


def _series_now(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return ""
    return _series(path, state.st_size, state.st_mtime_ns)


@lru_cache(FILES_REMEMBERED)
def _series(path: Path, _size: int, _mtime_ns: int) -> str:
    return series_of(path)
