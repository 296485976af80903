"""Paths held against patterns, part by part, as a shell does."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


def fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Say whether the parts of a path are what a pattern means; ``**`` is any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(fits(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and fits(parts[1:], pattern[1:])
