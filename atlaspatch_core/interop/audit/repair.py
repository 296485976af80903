"""What may be done about what an audit found: damaged results are marked for the next run, checksums are added."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.interop.audit.files import pictured
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.interop.audit.kept_files import case_files
from atlaspatch_core.layouts.found import FolderLayout, ResultFolder
from atlaspatch_core.storage.damage import add_checksums, mark_damaged
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store

MARKED = ("damaged", "unreadable")
"""Kinds of findings that a run may mend."""


def repair(result_folder: ResultFolder, findings: Iterable[AuditFinding], *, mark: bool, add: bool) -> Iterator[str]:
    """Mark what is damaged, or add checksums where there are none; yield what was done, a sentence a file.

    Results of others are left alone.
    """
    folder = result_folder.folder
    if result_folder.layout is not FolderLayout.OURS:
        yield f"{folder}: results of {result_folder.layout} are not changed"
        return
    store, damaged = Store(folder), dict.fromkeys(finding.file for finding in findings if finding.kind in MARKED)
    for path in damaged if mark else ():
        yield _said(folder, path, lambda path=path: mark_damaged(store, path) or "left as it is")
    for path in _all_files(result_folder, store) if add else ():
        if path not in damaged:
            yield from _added(store, path)


def _said(folder: Path, path: Path, action: Callable[[], str]) -> str:
    try:
        return f"{pictured(path, folder)}: {action()}"
    except AtlasPatchError as error:
        return str(error)


def _added(store: Store, path: Path) -> Iterator[str]:
    try:
        if add_checksums(store, path):
            yield f"{pictured(path, store.output)}: checksums were added"
    except AtlasPatchError as error:
        yield str(error)


def _all_files(result_folder: ResultFolder, store: Store) -> Iterator[Path]:
    yield from (file.path for file in result_folder.files())
    yield from case_files(store)
    stems = list(list_files(store.record("any").parent, ".json"))
    yield from map(store.record, stems)
    yield from (path for path in map(store.geojson, stems) if path.exists())
