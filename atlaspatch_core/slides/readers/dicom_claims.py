"""What the instances of a DICOM series claim, held against the frames that they store, by their headers alone."""

import mmap
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.dicom_files import VOLUME
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.claims import check_claim, check_pieces
from atlaspatch_core.slides.readers.dicom_frames import PIXELS, UNDEFINED, corners_in, elements, items, number, sides
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.slides.tiles.wholeness import MOST_BLOCK_BYTES

IMAGE_TYPE, CONCATENATION, ORGANIZATION = 0x00080008, 0x00209161, 0x00209311
"""ImageType, ConcatenationUID and DimensionOrganizationType."""
FRAMES, SAMPLES, BITS = 0x00280008, 0x00280002, 0x00280100
"""NumberOfFrames, SamplesPerPixel and BitsAllocated."""
TILED_FULL = b"TILED_FULL"


@dataclass(frozen=True, slots=True)
class InstanceClaim:
    """What one instance says of its pixels, and what it stores."""

    size: tuple[int, int]
    """Width and height of its level, px."""
    tile: tuple[int, int]
    """The same of a frame."""
    frames: int
    """NumberOfFrames."""
    frames_stored: int
    bytes_stored: int
    frames_placed: int | None
    """Of how many it is said where they lie; None where it is not said."""
    is_scan: bool
    is_full: bool
    """Whether it says that every tile is a frame of it: TILED_FULL, and no part of a concatenation."""

    @property
    def tiles(self) -> int:
        """How many tiles the pixels of the level take."""
        return -(-self.size[0] // self.tile[0]) * -(-self.size[1] // self.tile[1])


def check_instances(path: Path, files: Sequence[Path]) -> None:
    """Raise UnreadableSlide for a series whose instances claim more than they store.

    An instance that cannot be followed without a DICOM library is left to the library.
    """
    stored: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for claim in filter(None, map(claim_of, files)):
        stored[claim.size].append(claim.bytes_stored)
        if claim.is_scan:
            check_frames(path, claim)
    for size, counts in stored.items():
        check_claim(path, size, counts, "its level")


def check_frames(path: Path, claim: InstanceClaim) -> None:
    """Raise UnreadableSlide for an instance with fewer frames than it claims or needs, or with too large ones."""
    if claim.is_full:
        check_pieces(path, claim.size, claim.tiles, claim.frames, "frames")
    if claim.frames_placed is not None:
        check_pieces(path, claim.size, claim.frames, claim.frames_placed, "places of frames")
    if claim.frames_stored < claim.frames:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is cut short or damaged: it claims {claim.frames:,} frames and stores "
            f"{claim.frames_stored:,}; {COPY}"
        )
    if claim.tile[0] * claim.tile[1] * 3 > MOST_BLOCK_BYTES:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} claims frames of {claim.tile[0]:,} × {claim.tile[1]:,} px, each of which "
            f"every read would decode (at most {MOST_BLOCK_BYTES:,} bytes); {COPY}"
        )


def claim_of(file: Path) -> InstanceClaim | None:
    """Return what an instance claims; None where it has no pixels, or its header cannot be followed."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _claim(data, {tag: (start, length) for tag, start, length in elements(data, 132)})
    except (struct.error, ValueError, KeyError, OSError):
        return None


def _claim(data: mmap.mmap, values: Mapping[int, tuple[int, int]]) -> InstanceClaim | None:
    size, tile = sides(data, values)
    if min(*size, *tile) < 1:
        return None
    corners, (start, length) = corners_in(data, values), values[PIXELS]
    frames = int(_text(data, values, FRAMES) or 1)
    if length == UNDEFINED:
        _table, *places = items(data, start)
        frames_stored, bytes_stored = len(places), len(data) - start
    else:
        frame_bytes = tile[0] * tile[1] * number(data, values[SAMPLES]) * (number(data, values[BITS]) // 8)
        bytes_stored = min(length, len(data) - start)
        frames_stored = bytes_stored // max(1, frame_bytes)
    return InstanceClaim(
        size,
        tile,
        frames,
        frames_stored,
        bytes_stored,
        None if corners is None else len(corners),
        is_scan=VOLUME in _text(data, values, IMAGE_TYPE),
        is_full=_text(data, values, ORGANIZATION) == TILED_FULL and CONCATENATION not in values and corners is None,
    )


def _text(data: mmap.mmap, values: Mapping[int, tuple[int, int]], tag: int) -> bytes:
    start, length = values.get(tag, (0, 0))
    return data[start : start + length].strip(b"\0 ")
