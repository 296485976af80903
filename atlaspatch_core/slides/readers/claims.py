"""What a file claims to hold, held against what it stores, before any pixel is read.

A few bytes can claim a picture of any size. No codec tells how far it can compress: empty glass takes a byte a thousand
px in Zstandard or JPEG 2000, tiles that are not stored take none, and writers let all empty tiles lie in one place. So
what a slide may claim grows with the bytes that it stores, each counted once, and a scan of little tissue on much glass
stays far below: a biopsy of 10 mm² on a whole glass at 40x has about 4,000 px a byte.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.files import ZARR, files_below, slide_files
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.slide import SlideInfo, stem_of

MOST_UNSTORED = 2**30
"""px that any slide may claim, whatever it stores; 32,768 square, which is read in seconds."""
MOST_PER_BYTE = 16_384
"""px that each stored byte allows beyond these."""
MOST_OBLONG = 10_000
"""Times that one side may be the other: a glass of 75 mm would be a strip of 7.5 µm. Kernels of the segmenters are far
wider than such a strip, and take minutes over its length."""
MOST_CHUNKS = 2**20
"""Chunks of a level that are believed of any store; others need a byte each."""


def check_claim(path: Path, size: tuple[int, int], stored: Iterable[int], what: str = "it") -> None:
    """Raise UnreadableSlide for an image of a ``size`` (width, height), px, that its ``stored`` bytes cannot hold.

    ``stored`` are numbers of bytes that are added up as far as need be; ``what`` is called so in the error.
    """
    width, height = size
    needed = -(-(width * height - MOST_UNSTORED) // MOST_PER_BYTE)
    total = added_up(stored, needed)
    if total < needed:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is damaged or no scan: {what} claims {width:,} × {height:,} px and stores "
            f"{total:,} bytes, which is believed of at most {MOST_UNSTORED + total * MOST_PER_BYTE:,} px; {COPY}"
        )


def added_up(stored: Iterable[int], needed: int) -> int:
    """Return the sum of numbers of bytes, or what is reached once that is ``needed``: no further is asked for."""
    total = 0
    for count in stored if needed > 0 else ():
        total += count
        if total >= needed:
            break
    return total


def check_chunks(path: Path, size: tuple[int, int], chunk: tuple[int, int]) -> None:
    """Raise UnreadableSlide for a level of a store in far more chunks than bytes: each is a file to be looked for."""
    count = -(-size[0] // chunk[0]) * -(-size[1] // chunk[1])
    total = added_up(file_sizes(path), count - MOST_CHUNKS)
    if total < count - MOST_CHUNKS:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is damaged or no scan: {size[0]:,} × {size[1]:,} px in chunks of {chunk[0]} "
            f"× {chunk[1]} are {count:,}, and it stores {total:,} bytes; {COPY}"
        )


def check_pieces(path: Path, size: tuple[int, int], needed: int, listed: int, kind: str) -> None:
    """Raise UnreadableSlide where an image lists fewer tiles, strips or frames (``kind``) than its ``size`` needs."""
    if listed < needed:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is damaged: its {size[0]:,} × {size[1]:,} px take {needed:,} {kind}, and it "
            f"lists {listed:,}; {COPY}"
        )


def check_files(info: SlideInfo) -> None:
    """Raise UnreadableSlide where all files of a slide together are too small for its level 0, or that is a line."""
    level = info.as_stored.levels[0]
    if max(level.width, level.height) > MOST_OBLONG * min(level.width, level.height):
        raise UnreadableSlide(
            f"{stem_of(info.path)}: {info.path.name} is damaged or no scan: of {level.width:,} × {level.height:,} px "
            f"one side is over {MOST_OBLONG:,} times the other; {COPY}"
        )
    check_claim(info.path, (level.width, level.height), file_sizes(info.path))


def file_sizes(path: Path) -> Iterator[int]:
    """Yield the sizes of a slide's files, bytes, as they are asked for: a Zarr store has many."""
    for file in files_below(path) if path.suffix.lower() == ZARR else slide_files(path):
        try:
            yield file.stat().st_size
        except OSError:  # it went away, which is said by who reads it
            continue


def covered_bytes(offsets: ArrayLike, lengths: ArrayLike) -> int:
    """Return how many bytes of a file these stretches cover: what several share counts once."""
    begins, counts = (np.asarray(values, np.int64).ravel() for values in (offsets, lengths))
    order = np.argsort(begins[counts > 0], kind="stable")
    begins, ends = begins[counts > 0][order], (begins + counts)[counts > 0][order]
    if not len(begins):
        return 0
    reached = np.maximum.accumulate(np.concatenate([begins[:1], ends[:-1]]))
    return int(np.maximum(0, ends - np.maximum(begins, reached)).sum())
