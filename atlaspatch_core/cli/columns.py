"""Tables and paragraphs of text, within the width of a page."""

import textwrap
from collections.abc import Iterator, Sequence

WIDTH = 100
"""Letters of a line."""


def columns(rows: Sequence[Sequence[str]], indent: str = "", most: int | None = None, uncut: int = 0) -> list[str]:
    """Return rows with their columns aligned, two blanks apart; in lines of at ``most`` so many letters, if stated.

    The widest columns are cut where the rows do not fit, but for the first ``uncut`` ones.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    room = None if most is None else most - len(indent) - 2 * (len(widths) - 1)
    while room is not None and sum(widths) > max(room, len(widths)) and max(widths[uncut:], default=1) > 1:
        widths[widths.index(max(widths[uncut:]), uncut)] -= 1
    lines = ("  ".join(cut(word, wide).ljust(wide) for word, wide in zip(row, widths, strict=True)) for row in rows)
    return [f"{indent}{line}".rstrip() for line in lines]


def paragraph(text: str, indent: str = "", hanging: str | None = None) -> list[str]:
    """Return a text in lines of at most ``WIDTH`` letters; those after the first begin with ``hanging``."""
    following = indent if hanging is None else hanging
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=following, break_long_words=True, break_on_hyphens=False
    )


def cut(text: str, most: int) -> str:
    """Return a text of at most so many letters; a longer one loses its middle."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def capped(rows: Sequence[Sequence[str]], most: int) -> Iterator[Sequence[str]]:
    """Yield at most so many rows, and one that counts the others."""
    yield from rows[:most]
    if len(rows) > most:
        yield (f"… and {len(rows) - most} more", *[""] * (len(rows[0]) - 1))
