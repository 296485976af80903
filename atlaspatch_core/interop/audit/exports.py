"""Folders that hold nothing but what our export wrote for others: tensors, tables, GeoJSON for QuPath."""

from collections.abc import Iterator
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.interop.export.parquet import FILE_NAME, stems_in_table
from atlaspatch_core.interop.export.placement import changed_files
from atlaspatch_core.layouts.found import FolderLayout, ResultFolder
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store


def recognise_export(folder: Path) -> ResultFolder | None:
    """Return a folder to which an export wrote, by what it remembers of its files, or by its table; None for another.

    Raises MissingExtra where a table is there and nothing that reads it.
    """
    table = folder / FILE_NAME
    stems = {*_remembered_stems(folder), *((stems_in_table(table) or ()) if table.is_file() else ())}
    return ResultFolder(FolderLayout.EXPORT, folder, (), exported=tuple(sorted(stems))) if stems else None


def of_exports(folder: Path) -> Iterator[AuditFinding]:
    """Yield files that an export wrote to a folder, and that are not what it wrote."""
    for stem in _remembered_stems(folder):
        try:
            for path in changed_files(folder, stem):
                yield AuditFinding("damaged_export", stem, path, "is not what the export wrote")
        except (AtlasPatchError, OSError) as error:
            path = Store(folder).export_marks(stem)
            yield AuditFinding("damaged_export", stem, path, f"cannot be read: {error}")


def _remembered_stems(folder: Path) -> list[str]:
    return list(list_files(Store(folder).export_marks("any").parent, ".json"))
