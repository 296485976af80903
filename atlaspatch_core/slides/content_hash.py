"""Who a slide is by its content, and whether its files were touched since."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from atlaspatch_core.fingerprint import canonical_json, short_hash
from atlaspatch_core.slides.files import slide_files
from atlaspatch_core.slides.stored_bytes import StoredBytes

SAMPLED_BLOCKS = 16
BLOCK_BYTES = 65_536
SAMPLED_FILES = 64
DESCRIPTIONS = (".zattrs", ".zarray", ".zgroup", ".zmetadata", "zarr.json", "METADATA.ome.xml")
"""Files of a Zarr store that say what the others mean."""


def file_signature(path: Path) -> str:
    """Return 16 hex digits that change when any of the slide's files changes name, size or modification time."""
    states = ((_name(file, path), file.stat()) for file in slide_files(path))
    return short_hash(canonical_json([[name, state.st_size, state.st_mtime_ns] for name, state in states]))


def content_fingerprint(path: Path, *, full_hash: bool = False) -> str:
    """Return 16 hex digits of a slide's content: sizes and sampled blocks of all its files.

    Head, tail and evenly spread blocks are read, 1 MiB a file; ``full_hash`` reads every byte. Of a folder of more
    than 64 files, a Zarr store say, that is done with its descriptions and 64 files spread evenly; of the others names
    and sizes count.
    """
    digest = hashlib.sha256(b"full" if full_hash else b"sampled")
    files = slide_files(path)
    many = _are_many(path, files)
    sampled = set(files) if full_hash or not many else _sample(files)
    for file in files:
        digest.update(f"{_name(file, path)}\n".encode() if many else b"")
        digest.update(f"{file.stat().st_size}\n".encode())
        for block in _blocks(file, full_hash) if file in sampled else ():
            digest.update(block)
    return digest.hexdigest()[:16]


def sampled_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a slide whose bytes its content is told by, sorted: all, or 64 of a folder of many."""
    files = slide_files(path)
    return tuple(sorted(_sample(files))) if _are_many(path, files) else files


def _are_many(path: Path, files: Sequence[Path]) -> bool:
    return path.is_dir() and len(files) > SAMPLED_FILES


def _name(file: Path, slide: Path) -> str:
    return str(file.relative_to(slide)) if file.is_relative_to(slide) and file != slide else file.name


def _sample(files: Sequence[Path]) -> set[Path]:
    spread = {files[(len(files) - 1) * number // (SAMPLED_FILES - 1)] for number in range(SAMPLED_FILES)}
    return spread | {file for file in files if file.name in DESCRIPTIONS}


def _blocks(file: Path, full_hash: bool) -> Iterator[bytes]:
    size = file.stat().st_size
    if full_hash or size <= SAMPLED_BLOCKS * BLOCK_BYTES:
        places: Sequence[int] = range(0, size, BLOCK_BYTES)
    else:
        places = [(size - BLOCK_BYTES) * number // (SAMPLED_BLOCKS - 1) for number in range(SAMPLED_BLOCKS)]
    with closing(StoredBytes(file)) as stream:
        stream.need(places, [BLOCK_BYTES] * len(places))
        yield from (stream.read(BLOCK_BYTES, place) for place in places)
