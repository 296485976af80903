"""Names of slides that results can carry: UTF-8 on one line, and short enough for the files that are named after."""

import unicodedata
from pathlib import Path

from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.slide import stem_of

LONGEST_STEM = 200
"""Bytes. A file name has 255 at most, of which temporary files and pictures of patches add up to 55."""

SHOWN = 40
"""Characters of a name that is too long."""


CONTROLS = ("Cc", "Zl", "Zp")
"""Categories of characters that end a line, move the cursor or start a command of a terminal."""


def printable(text: str) -> str:
    r"""Return a text as it can be printed: bytes that are not UTF-8 as ``\xfc``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def on_one_line(text: str) -> str:
    r"""Return a path as it can be printed in a sentence: control characters, too, as ``\x0a``."""
    return "".join(_escaped(sign) if has_controls(sign) else sign for sign in printable(text))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_controls(text: str) -> bool:
    """Tell whether a name has newlines or other control characters."""
    return any(unicodedata.category(sign) in CONTROLS for sign in text)


def _escaped(sign: str) -> str:
    return f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}"


def name_fault(stem: str, path: Path) -> str:
    """Return in one sentence why results cannot carry a slide's name, or an empty text."""
    shown = on_one_line(shown_path(path))
    if not _is_utf8(str(path)):
        cure = f"rename what has \\x in it (at most {LONGEST_STEM} bytes before the suffix)"
        return f"{shown}: its path is not UTF-8; {cure}"
    if has_controls(stem):
        return (
            f"{shown}: its name has control characters, shown with \\x or \\u; rename it (at most {LONGEST_STEM} bytes)"
        )
    if stem in (".", "..") or "/" in stem:
        return f"{shown}: without its suffix its name is {stem!r}, which leads out of the folders of results; rename it"
    length = len(stem.encode())
    if length <= LONGEST_STEM:
        return ""
    what = "its name has" if stem == stem_of(path) else "its name and the number of an image have"
    return f"{shown}: {what} {length} bytes before the suffix, more than {LONGEST_STEM}; rename it"


def case_fault(case_id: str) -> str:
    """Return in one clause why results cannot carry the id of a case, or an empty text."""
    if has_controls(case_id):
        return f"case_id {on_one_line(case_id[:SHOWN])} has control characters; rename it"
    length = len(case_id.encode())
    if length <= LONGEST_STEM:
        return ""
    return f"case_id {case_id[:SHOWN]}… has {length} bytes, more than {LONGEST_STEM}; shorten it"
