"""Files that hold several scans: which numbers these have, and what each is called as a slide of its own."""

import re
from pathlib import Path
from typing import Literal

from atlaspatch_core.slides.readers import check_file, readers_of
from atlaspatch_core.slides.readers.reader import UnsupportedSlide
from atlaspatch_core.slides.slide import stem_of

ALL = "all"
SECTION = re.compile(r"_series\d+$")
SeriesChoice = int | Literal["all"] | None
"""Which image of a file is the slide: that of a number, each scan a slide of its own, or the largest scan (None)."""


def find_sections(path: Path, reader: str | None = None) -> tuple[int, ...]:
    """Return the numbers by which ``open_slide`` takes the scans of a file, ascending; none where it holds one.

    Label, macro and thumbnail, the planes of one scan, and images with less than a 64th of the pixels of the largest
    scan are none. ``reader`` is a name in ``READERS``, or of a plugin in use; by default those that know the content
    are asked.
    Raises what ``open_slide`` raises, but for a scale that nobody states.
    """
    check_file(path)
    refusal = UnsupportedSlide(f"{stem_of(path)}: no reader knows which images {path.name} holds; leave out --series")
    for candidate in readers_of(path, reader):
        try:
            return candidate.sections(path)
        except UnsupportedSlide as error:
            refusal = error
    raise refusal


def section_stem(stem: str, number: int) -> str:
    """Return what a section is called: the stem of its file, and its number as ``--series`` takes it.

    Example:
        >>> section_stem("block_7", 2)
        'block_7_series2'
    """
    return f"{stem}_series{number}"


def stem_of_file(stem: str) -> str:
    """Return the stem of the file that holds a section of this stem; any other stem as it is."""
    return SECTION.sub("", stem)


def as_series(text: str) -> SeriesChoice:
    """Return which image of a file a text names: a number of 0 or more, or all; None for any other."""
    word = text.strip().lower()
    if word == ALL:
        return ALL
    return int(word) if word.isascii() and word.isdigit() else None
