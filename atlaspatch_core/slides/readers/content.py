"""What a file is that no reader, or not this one, can begin with, as far as its first bytes tell; and the cure."""

from pathlib import Path

from atlaspatch_core.slides.files import MIRAX
from atlaspatch_core.slides.first_bytes import read_head
from atlaspatch_core.slides.readers.advice import BIOFORMATS, COPY

HEAD = 512
"""Bytes that are looked at."""
OF_READERS = (
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"ZISRAWFILE", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM",
    b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip
"""How TIFF, CZI and pictures begin."""
DICOM = slice(128, 132), b"DICM"
OTHERS = {
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"PK\x03\x04": "a ZIP archive; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ\0": "an xz archive; unpack it",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"%PDF": "a PDF document; export the slide itself",
    b"\x89HDF": "an HDF5 file; name the slide that it was made of",
    b"version https://git-lfs": "the pointer that Git LFS leaves in place of a file; fetch it with `git lfs pull`",
    b"[virtual microscope specimen]": "an index, the files of which are missing or damaged; copy all again",
    b"[uncompressed virtual microscope": "an index, the files of which are missing or damaged; copy all again",
    b"<!doctype html": "a web page, which servers send in place of a file; download it again, signed in where needed",
    b"<html": "a web page, which servers send in place of a file; download it again, signed in where needed",
}
"""First bytes, lower case where they are text, to what the file is and what to do."""
SLIDEDAT = "Slidedat.ini"
"""What lies in the folder of every MIRAX slide."""


def is_of_a_reader(path: Path) -> bool:
    """Say whether a file begins as one of those formats does that a reader knows by content."""
    head, (place, mark) = read_head(path, HEAD), DICOM
    return head.startswith(OF_READERS) or head[place] == mark


def is_not(path: Path, kind: str) -> str:
    """Return what to say of a file that a reader of one ``kind`` was given: what it is instead, and the cure."""
    if path.is_dir() or is_of_a_reader(path):
        return f"is no {kind}; leave out the reader, so that another is asked"
    return what_is_wrong(path)


def what_is_wrong(path: Path) -> str:
    """Return what to say of a file that begins as no slide does."""
    head = read_head(path, HEAD)
    other = next(
        (description for mark, description in OTHERS.items() if head.lower().lstrip().startswith(mark.lower())), None
    )
    if other:
        return f"is {other}"
    if head and not head.strip(b"\0"):
        return f"begins with zeros, as copies do that broke off; {COPY}"
    return f"is damaged, or of another format than its name says: it begins as no slide does; {COPY}"


def without_its_folder(path: Path) -> str:
    """Return what to say of a MIRAX slide whose folder is not there, without which it is a small picture; else ""."""
    folder = path.with_suffix("")
    if path.suffix.lower() != MIRAX or (folder / SLIDEDAT).is_file():
        return ""
    return f"lacks its folder {folder.name}/ with {SLIDEDAT}, where its pixels are; copy the folder, too"


def no_slide(suffixes: tuple[str, ...]) -> str:
    """Return what to say of a file of a suffix that no slide has."""
    return f"is no slide; give one of {', '.join(suffixes)}, or make it OME-TIFF with {BIOFORMATS}"
