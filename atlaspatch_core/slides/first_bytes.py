"""How files begin, by which one tells what they are."""

from pathlib import Path


def read_head(path: Path, size: int) -> bytes:
    """Return the first ``size`` bytes of a file, or all of a smaller one; nothing of what cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""
