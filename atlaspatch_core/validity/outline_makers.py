"""Whose outlines are that no step made: another tool's, taken as they are, or a person's."""

from pathlib import Path

from atlaspatch_core.layouts.found import FolderLayout
from atlaspatch_core.storage.records import Record
from atlaspatch_core.tissue.outline_origin import is_of_trident


def tool_of_outlines(record: Record, polygons: str, path: Path) -> str:
    """Return whose outlines are that lie at ``path``; empty for those that a person drew or changed.

    Once outlines of a tool were taken over, other ``polygons`` (a fingerprint) are a person's, whatever marks of the
    tool an editor left in the file. Raises OSError.
    """
    if record.foreign_outlines:
        return record.foreign_outlines.tool if polygons == record.foreign_outlines.polygons else ""
    return str(FolderLayout.TRIDENT) if is_of_trident(path) else ""
