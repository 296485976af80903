"""Small files that claim, or unpack to, far more pixels than anybody scans."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from claiming import DEFLATE, JPEG, LARGEST, NONE, TiffClaim, encode_tile, write_dicom_claim
from rounds import Chance

TILE = 256
SIDES = (1, 255, 65_535, 65_536, 200_000, 2**24, LARGEST - 1, LARGEST)
MOST_PLACES = 20_000
UNPACKED_MB = 300


@cache
def packed_zeros() -> bytes:
    return zlib.compress(bytes(UNPACKED_MB << 20))


def _shared_tile(folder: Path, stem: str, chance: Chance) -> Path:
    """Write a TIFF all of whose tiles are one, or are not there."""
    width, height = chance.choice(SIDES), chance.choice(SIDES)
    compression = chance.choice((JPEG, DEFLATE, NONE))
    stored = encode_tile(TILE, compression)
    needed = -(-width // TILE) * -(-height // TILE)
    places = [(0, chance.choice((0, len(stored))))] * min(needed, MOST_PLACES)
    claim = TiffClaim(width, height, places, stored, TILE, compression=compression)
    return claim.write(folder / f"{stem}{chance.choice(('.tif', '.svs'))}")


def _unpacking_tile(folder: Path, stem: str, chance: Chance) -> Path:
    """Write a TIFF of four tiles, one of which unpacks to hundreds of megabytes."""
    sound, bomb = encode_tile(TILE, DEFLATE), packed_zeros()
    places = [(0, len(sound))] * 4
    places[chance.randrange(4)] = (len(sound), len(bomb))
    return TiffClaim(2 * TILE, 2 * TILE, places, sound + bomb, TILE, compression=DEFLATE).write(folder / f"{stem}.tif")


def _dicom(folder: Path, stem: str, chance: Chance) -> Path:
    width, height, frames = (chance.choice(SIDES) for _ in range(3))
    return write_dicom_claim(folder / f"{stem}.dcm", width, height, frames=frames, stored=chance.choice((1, 2)))


def _png(folder: Path, stem: str, chance: Chance) -> Path:
    """Write a PNG whose head claims other sides than its rows fill."""
    head = struct.pack(">IIBBBBB", chance.choice(SIDES), chance.choice(SIDES), 8, chance.choice((0, 2, 3, 6)), 0, 0, 0)
    rows = packed_zeros() if chance.random() < 0.5 else zlib.compress(b"")
    parts = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    path = folder / f"{stem}.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts))
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


BOMBS: tuple[Callable[[Path, str, Chance], Path], ...] = (_shared_tile, _shared_tile, _unpacking_tile, _dicom, _png)


def write_bomb(folder: Path, stem: str, chance: Chance) -> Path:
    """Write one of them, and return its file."""
    return chance.choice(BOMBS)(folder, stem, chance)
