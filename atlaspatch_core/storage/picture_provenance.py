"""What a picture was drawn from, written into the picture itself: so it is known when to draw it anew."""

import zlib
from enum import Enum, auto
from pathlib import Path

from atlaspatch_core.fingerprint import short_hash

MARK = "atlaspatch "
"""How a stamp begins."""
DRAWING = 1
"""Raised when pictures come to look different."""
GRID_DRAWING = 2
"""Raised when pictures of patches alone come to look different."""
HEAD = 512
"""Bytes of a file in which its stamp lies."""
IHDR_END = 33
"""Where the first chunk of a PNG ends."""


class PictureState(Enum):
    """What lies where a picture belongs."""

    MISSING = auto()
    CURRENT = auto()
    OUTDATED = auto()
    FOREIGN = auto()
    """A file that we did not draw, and that is never replaced."""


def provenance_mark(*sources: str) -> str:
    """Return the stamp of a picture that is drawn from these fingerprints."""
    return MARK + short_hash("\n".join((str(DRAWING), *sources)))


def grid_mark(coords: str) -> str:
    """Return the stamp of a picture of the patches that have this fingerprint."""
    return provenance_mark(coords, f"grid {GRID_DRAWING}")


def with_mark(picture: bytes, mark: str) -> bytes:
    """Return a PNG, or a JPEG as OpenCV writes it, with the stamp as its comment."""
    text = mark.encode()
    if picture[:2] == b"\xff\xd8":
        end = 4 + int.from_bytes(picture[4:6], "big")
        comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    else:
        end = IHDR_END
        chunk = b"tEXtComment\0" + text
        comment = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return picture[:end] + comment + picture[end:]


def picture_state(path: Path, mark: str) -> PictureState:
    """Return what lies at ``path``, beside a picture with this stamp."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        return PictureState.MISSING
    if mark.encode() in head:
        return PictureState.CURRENT
    return PictureState.OUTDATED if MARK.encode() in head or not head else PictureState.FOREIGN
