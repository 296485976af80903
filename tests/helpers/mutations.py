"""Bytes as disks, networks and malice leave them."""

import random
from pathlib import Path

NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Values at which sizes, counts and offsets go wrong."""
TOKENS = (
    b"", b"0", b"-1", b"1_0", b"nan", b"inf", b"-inf", b"1e999", b"9" * 5000, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"[" * 3000, b"{" * 3000, b'"', b"'", b"\n", b"\r", b",", b"..", b"/etc/passwd", b"=cmd|' /C calc'!A1", b"true",
    b"null", b"2147483648", b"18446744073709551616", b"\xc3", "\u202e".encode(), "é".encode(), b"x" * 140_000,
)  # fmt: skip


def mutate(content: bytes, chance: random.Random, times: int = 3) -> bytes:
    """Return bytes that were changed in one to so many places, most of all near their beginning and end."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, times)):
        chance.choice(CHANGES)(changed, _place(changed, chance), chance)
    return bytes(changed)


def mutate_text(content: bytes, chance: random.Random, times: int = 2) -> bytes:
    """Return text of which words, numbers or signs were replaced, or which was changed as bytes."""
    for _ in range(chance.randint(1, times)):
        if chance.random() < 0.2:
            content = mutate(content, chance, 1)
            continue
        at = chance.randint(0, len(content))
        length = chance.choice((0, 1, 1, 3, 8))
        content = content[:at] + chance.choice(TOKENS) + content[at + length :]
    return content


def mutate_file(path: Path, chance: random.Random) -> Path:
    """Change a file, or one file of a folder, and return which."""
    file = chance.choice(sorted(part for part in path.rglob("*") if part.is_file())) if path.is_dir() else path
    is_text = file.suffix in {".json", ".zattrs", ".zarray"} or file.name.startswith(".z")
    file.write_bytes((mutate_text if is_text else mutate)(file.read_bytes(), chance))
    return file


def _place(content: bytearray, chance: random.Random) -> int:
    size = max(1, len(content))
    near = min(size, chance.choice((64, 512, 4096)))
    return chance.choice((chance.randrange(size), chance.randrange(near), size - 1 - chance.randrange(near)))


def _flip(content: bytearray, at: int, chance: random.Random) -> None:
    for place in range(at, min(len(content), at + chance.choice((1, 1, 4)))):
        content[place] ^= 1 << chance.randrange(8)


def _number(content: bytearray, at: int, chance: random.Random) -> None:
    size = chance.choice((1, 2, 4, 8))
    value = chance.choice(NUMBERS) % 256**size
    at -= at % size if chance.random() < 0.5 else 0
    content[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _cut(content: bytearray, at: int, _: random.Random) -> None:
    del content[at:]


def _zeros(content: bytearray, at: int, chance: random.Random) -> None:
    size = min(len(content) - at, chance.choice((4, 64, 4096)))
    content[at : at + size] = bytes(size)


def _noise(content: bytearray, at: int, chance: random.Random) -> None:
    size = min(len(content) - at, chance.choice((4, 64, 1024)))
    content[at : at + size] = chance.randbytes(size)


def _remove(content: bytearray, at: int, chance: random.Random) -> None:
    del content[at : at + chance.choice((1, 2, 100))]


def _repeat(content: bytearray, at: int, chance: random.Random) -> None:
    content[at:at] = content[at : at + chance.choice((1, 16, 300))]


CHANGES = (_flip, _flip, _number, _number, _number, _cut, _zeros, _noise, _remove, _repeat)
