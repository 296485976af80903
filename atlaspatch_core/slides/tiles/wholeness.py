"""Whether the bytes of a tile are all there, told without decoding it: lenient decoders make up what it lacks.

A tile that claims a picture larger than any tile may be is refused before memory is taken for it.
"""

import struct

MOST_BLOCK_BYTES = 2**27
"""What one tile, chunk, strip or frame may take, decoded to RGB: every read would decode it as a whole."""
SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a JPEG that tell its size (ISO 10918-1, table B.1)."""
CODESTREAM = b"\xff\x4f\xff\x51"
"""How JPEG 2000 begins, with the marker of its size (ISO 15444-1, A.5.1)."""
LEAST_ZEROS = 32
"""Bytes at the end of a tile."""


def check_jpeg(data: bytes) -> None:
    """Raise ValueError where a JPEG does not end with its marker, or has markers within its only scan.

    ISO 10918-1, B.1.1: FFD9 ends an image, FFDA begins a scan; in a scan FF is followed by 00, or by D0 to D7, which
    are restarts. Writers may pad a tile with zeros. OpenSlide refuses such damage, too.
    """
    check_size("JPEG", *jpeg_size(data))
    whole = data if data.endswith(b"\xff\xd9") else data.rstrip(b"\0")
    if not whole.endswith(b"\xff\xd9"):
        raise ValueError("a JPEG that breaks off")
    scan = whole[whole.find(b"\xff\xda") + 2 : -2].rstrip(b"\xff")
    if b"\xff\xda" in scan:
        return  # progressive: tables lie between the scans
    restarts = sum(scan.count(bytes([0xFF, 0xD0 + number])) for number in range(8)) if b"\xff\xd0" in scan else 0
    if scan.count(b"\xff") != scan.count(b"\xff\0") + restarts:
        raise ValueError("a JPEG with markers where its pixels are")


def check_jpeg2000(data: bytes) -> None:
    """Raise ValueError where a codestream of JPEG 2000 does not end with its marker (ISO 15444-1, A.4.4: FFD9)."""
    check_size("JPEG 2000", *jpeg2000_size(data))
    if data.startswith(b"\xff\x4f") and not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("a JPEG 2000 that breaks off")


def check_size(kind: str, width: int, height: int) -> None:
    """Raise ValueError for a tile that claims more than one may take."""
    if width * height * 3 > MOST_BLOCK_BYTES:
        raise ValueError(f"a {kind} that claims {width:,} × {height:,} px")


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG, px, as its frame header says; 0 where it has none before its scan."""
    at = 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 9 and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # fill bytes may precede a marker
            at += 1
            continue
        length, height, width = struct.unpack_from(">HxHH", data, at + 2)
        if data[at + 1] in SIZES:
            return width, height
        at += 2 + length
    return 0, 0


def jpeg2000_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG 2000, px: the ends of its grid less where it begins; 0 where it has none."""
    at = data.find(CODESTREAM)
    if at < 0 or len(data) < at + 24:
        return 0, 0
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return max(0, right - left), max(0, bottom - top)


def check_webp(data: bytes) -> None:
    """Raise ValueError where a WebP ends in zeros, which its arithmetic code does not: a copy that broke off."""
    if data.endswith(bytes(LEAST_ZEROS)):
        raise ValueError("a WebP that breaks off")
