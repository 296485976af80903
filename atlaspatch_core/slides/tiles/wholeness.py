"""Whether the bytes of a tile are all there, told without decoding it: lenient decoders make up what it lacks."""

LEAST_ZEROS = 32
"""Bytes at the end of a tile."""


def check_jpeg(data: bytes) -> None:
    """Raise ValueError where a JPEG does not end with its marker, or has markers within its only scan.

    ISO 10918-1, B.1.1: FFD9 ends an image, FFDA begins a scan; in a scan FF is followed by 00, or by D0 to D7, which
    are restarts. Writers may pad a tile with zeros. OpenSlide refuses such damage, too.
    """
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
    if data.startswith(b"\xff\x4f") and not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("a JPEG 2000 that breaks off")


def check_webp(data: bytes) -> None:
    """Raise ValueError where a WebP ends in zeros, which its arithmetic code does not: a copy that broke off."""
    if data.endswith(bytes(LEAST_ZEROS)):
        raise ValueError("a WebP that breaks off")
