"""Opening slides: one file per backend, one table."""

from collections.abc import Sequence
from pathlib import Path

from atlaspatch_core.errors import UnknownName, UnreadableSlide
from atlaspatch_core.mpp import Mpp, Stated
from atlaspatch_core.readers.openslide import OPENSLIDE
from atlaspatch_core.readers.pil import PIL
from atlaspatch_core.readers.reader import Reader
from atlaspatch_core.slide import Slide, stem_of

READERS = {reader.name: reader for reader in (OPENSLIDE, PIL)}
"""In the order in which they are asked."""
SUFFIXES = tuple(suffix for reader in READERS.values() for suffix in reader.suffixes)
"""What folders are searched for; lower case, with the dot."""


def open_slide(
    path: Path,
    *,
    mpp: float | None = None,
    mpp_source: str = "",
    mpp_keys: Sequence[str] = (),
    reader: str | None = None,
) -> Slide:
    """Open a slide with the first reader that knows its content, or else its suffix, or with the ``reader`` named.

    ``mpp`` is the user's µm per px of level 0 and wins over the file's; ``mpp_source`` says where it was stated.
    ``mpp_keys`` are further properties that state the mpp, asked before those that are known.
    Raises UnreadableSlide, UnknownScale, ImplausibleScale, or UnknownName for a reader that does not exist.
    """
    stated = Stated(None if mpp is None else Mpp(mpp, mpp_source or "stated"), tuple(mpp_keys))
    check_file(path)
    return choose_reader(path, reader).open(path, stated)


def choose_reader(path: Path, name: str | None = None) -> Reader:
    """Return the reader of that name, or else the one that knows the file by content, or else by suffix."""
    if name is not None:
        if name not in READERS:
            raise UnknownName(f"no reader is called {name!r}; there are {', '.join(READERS)}")
        return READERS[name]
    by_suffix = [reader for reader in READERS.values() if path.suffix.lower() in reader.suffixes]
    by_content = (reader for reader in READERS.values() if reader.recognises(path))
    found = next(by_content, None) or next(iter(by_suffix), None)
    if found is None:
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} is no slide; give one of {', '.join(SUFFIXES)}")
    return found


def check_file(path: Path) -> None:
    """Raise UnreadableSlide when there is no readable file with something in it."""
    stem = stem_of(path)
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UnreadableSlide(
            f"{stem}: {path} cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    if empty:
        raise UnreadableSlide(f"{stem}: {path.name} is empty; copy it again from its source")
