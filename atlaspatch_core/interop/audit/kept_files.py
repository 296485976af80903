"""Files of ours beside those of patches, held against their checksums: records, outlines, cases."""

from collections.abc import Iterator
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError, DamagedOutput, OutputInUse
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.layouts.found import ResultFolder
from atlaspatch_core.storage.checksums import bytes_sha256
from atlaspatch_core.storage.damage import damaged_parts, is_damaged_mask, without_checksums
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.last_line import bytes_damage
from atlaspatch_core.storage.records import Record, has_checksum
from atlaspatch_core.storage.store import Store
from atlaspatch_core.wording import format_count


def of_kept_files(result_folder: ResultFolder) -> Iterator[AuditFinding]:
    """Yield records, outlines and files of cases that are not what was written, and how many results cannot tell."""
    store = Store(result_folder.folder)
    unsealed = [file.path for file in result_folder.files() if without_checksums(file.path)]
    for stem, path in _records(store):
        record, finding = _record(store, stem, path)
        if finding:
            yield finding
            continue
        unsealed += [] if has_checksum(path) else [path]
        if record.outlines is None and store.geojson(stem).exists():
            unsealed.append(store.geojson(stem))
        elif record.outlines:
            yield from _outlines(store, stem, record)
    for path in case_files(store):
        try:
            clauses = [f"{name} {clause}".strip() for name, clause in damaged_parts(path).items()]
            clauses = clauses or list(filter(None, [bytes_damage(path)]))
        except OutputInUse as error:
            clauses = [str(error)]
        if clauses:
            yield AuditFinding("damaged", path.stem, path, "; ".join(clauses), str(len(clauses)), "0")
        unsealed += [path] if without_checksums(path) else []
    if unsealed:
        text = f"{format_count(len(unsealed), 'file')} without checksum, written before there were any"
        yield AuditFinding("without_checksum", "", result_folder.folder, text, str(len(unsealed)), "0")


def _records(store: Store) -> Iterator[tuple[str, Path]]:
    for stem in list_files(store.record("any").parent, ".json"):
        yield stem, store.record(stem)


def _record(store: Store, stem: str, path: Path) -> tuple[Record, AuditFinding | None]:
    try:
        return store.read_record(stem), None
    except AtlasPatchError as error:
        text = str(error).split("; ")[0].split(f"{path} ")[-1]
        return Record(), AuditFinding("damaged", stem, path, text)


def _outlines(store: Store, stem: str, record: Record) -> Iterator[AuditFinding]:
    """Yield where outlines are not those that were written, or that a run took up last."""
    path, outlines = store.geojson(stem), record.outlines
    if outlines is None or not path.exists():
        return
    try:
        store.check_outlines(stem)
    except DamagedOutput as error:
        kind = "damaged" if is_damaged_mask(store, stem) else "damaged_outlines"
        text = str(error).split("; ")[0].split(f"{path} ")[-1]
        yield AuditFinding(kind, stem, path, text, "", outlines.sha256)
        return
    if (current := bytes_sha256(path)) != outlines.sha256:
        text = "was saved, and differs from what the last run took up"
        yield AuditFinding("outlines_changed", stem, path, text, current, outlines.sha256)


def case_files(store: Store) -> Iterator[Path]:
    """Yield the files of cases, of every geometry."""
    homes = [store.output, *sorted(home for home in store.output.iterdir() if home.is_dir())]
    for home in homes:
        folder = Store(home).case("any", "any").parent.parent
        yield from sorted(folder.glob("*/*.h5")) if folder.is_dir() else ()
