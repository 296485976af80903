"""The last line of our HDF5 files: the sha256 of all bytes before it, for bytes that hold no values rot as well.

HDF5 reads as far as the file says that it reaches, so that no reader sees what comes after. Whoever else writes to the
file cuts the line off; then nothing is known of its bytes.
"""

import hashlib
import os
from pathlib import Path

HEAD, END = b"\nsha256 ", b"\n"
LENGTH = len(HEAD) + 64 + len(END)
MOST_ROTTEN = 1
"""Bytes of ``HEAD`` and ``END`` that may be others: damage to the line itself is damage."""
BLOCK_BYTES = 2**20


def append_last_line(path: Path) -> None:
    """Add the line to a file that has none."""
    digest = _sha256(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(HEAD + digest.encode() + END)


def cut_last_line(path: Path) -> None:
    """Remove the line, where there is one."""
    if _last_line(path):
        os.truncate(path, path.stat().st_size - LENGTH)


def bytes_damage(path: Path) -> str:
    """Return that a file has other bytes than were written, a clause; empty where it has not, or has no such line."""
    line = _last_line(path)
    if not line:
        return ""
    current, written = _sha256(path, path.stat().st_size - LENGTH), line[len(HEAD) : -len(END)].decode(errors="replace")
    if line == HEAD + current.encode() + END:
        return ""
    return f"has other bytes than were written (sha256 {current[:12]}, written {written[:12]})"


def _last_line(path: Path) -> bytes:
    if path.stat().st_size < LENGTH:
        return b""
    with path.open("rb") as file:
        file.seek(-LENGTH, os.SEEK_END)
        line = file.read(LENGTH)
    fixed = zip(line[: len(HEAD)] + line[-len(END) :], HEAD + END, strict=True)
    return line if sum(one != other for one, other in fixed) <= MOST_ROTTEN else b""


def _sha256(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size and (block := file.read(min(size, BLOCK_BYTES))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
