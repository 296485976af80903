"""Names of slides that results can carry: UTF-8, and short enough for the files that are named after them."""

from pathlib import Path

from atlaspatch_core.slides.slide import stem_of

LONGEST_STEM = 200
"""Bytes. A file name has 255 at most, of which temporary files and pictures of patches add up to 55."""

SHOWN = 40
"""Characters of a name that is too long."""


def printable(text: str) -> str:
    r"""Return a path as it can be printed: bytes that are not UTF-8 as ``\xfc``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def name_fault(stem: str, path: Path) -> str:
    """Return in one sentence why results cannot carry a slide's name, or an empty text."""
    shown = printable(str(path))
    if shown != str(path):
        cure = f"rename what has \\x in it (at most {LONGEST_STEM} bytes before the suffix)"
        return f"{shown}: its path is not UTF-8; {cure}"
    length = len(stem.encode())
    if length <= LONGEST_STEM:
        return ""
    what = "its name has" if stem == stem_of(path) else "its name and the number of an image have"
    return f"{shown}: {what} {length} bytes before the suffix, more than {LONGEST_STEM}; rename it"


def case_fault(case_id: str) -> str:
    """Return in one clause why results cannot carry the id of a case, or an empty text."""
    length = len(case_id.encode())
    if length <= LONGEST_STEM:
        return ""
    return f"case_id {case_id[:SHOWN]}… has {length} bytes, more than {LONGEST_STEM}; shorten it"
