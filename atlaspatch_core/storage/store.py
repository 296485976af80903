"""The one writer of everything that is kept: where each file lies, and how it changes under the slide's lock."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import time_ns

from atlaspatch_core.errors import OutOfDate
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.storage.atomic import remove_half_written, replacing, slide_lock
from atlaspatch_core.storage.checksums import bytes_sha256, damaged_output
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.hdf5 import StoredResult, read_stored_results
from atlaspatch_core.storage.hdf5_changes import Dataset, write_added
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate, write_restamped
from atlaspatch_core.storage.hdf5_writing import Writer
from atlaspatch_core.storage.ownership import check_replaceable, unusable_output
from atlaspatch_core.storage.paths import OutputPaths
from atlaspatch_core.storage.records import (
    ForeignOutlines,
    MaskRecord,
    OutlinesFile,
    Record,
    SlideRecord,
    StepNotes,
    read_record,
)
from atlaspatch_core.storage.schema import COORDS


def keep_anything() -> None:
    """Have nothing against what is to be kept."""


NO_NUMBERS: Mapping[str, int | float] = {}


@dataclass(frozen=True, slots=True)
class Store(OutputPaths):
    """The output folder of a project: where each file lies, and the one way to write it.

    Readers need no lock; every ``write_…`` takes the slide's lock and replaces a file as a whole.

    Args:
        output: The folder; made when something is kept.
        write_rows: Rows per HDF5 chunk, at most.

    Example:
        >>> store = Store(Path("out"))
        >>> store.h5("CMU-1-Small-Region").relative_to("out").as_posix()
        'patches/CMU-1-Small-Region.h5'
        >>> store.stored_results("CMU-1-Small-Region")["coords"].shape
        (56, 5)
    """

    write_rows: int = 8192
    """Rows per HDF5 chunk, at most."""
    check_source: Callable[[], None] = field(default=keep_anything, compare=False)
    """Called when something that was made of a slide is about to be kept; raises where it is not to be."""

    def results(self, geometry: str = "") -> dict[str, os.stat_result]:
        """Return the slides that have an HDF5 file; TRIDENT's coords that were exported beside them are none."""
        files = list_files(self.h5("any", geometry).parent, ".h5")
        bases = {stem: stem.removesuffix("_patches") for stem in files if stem.endswith("_patches")}
        copies = {stem for stem, base in bases.items() if base in files and self.export_marks(base).exists()}
        return {stem: stat for stem, stat in files.items() if stem not in copies}

    def remove_half_written(self, geometries: Sequence[str]) -> int:
        """Remove what killed processes left half-written; return how many files."""
        return remove_half_written(self.output, self.folders(geometries))

    def read_record(self, stem: str) -> Record:
        """Return what is remembered of a slide."""
        return read_record(self.record(stem))

    def write_slide_record(self, stem: str, section: SlideRecord) -> None:
        """Remember who a slide is."""
        with slide_lock(self.output, stem):
            self.check_source()
            self._update_record(stem, lambda record: replace(record, slide=section))

    def forget_slide(self, stem: str, identity: Identity) -> None:
        """Have the content of a slide read again by whoever comes next, unless another one is remembered by now."""
        with slide_lock(self.output, stem):
            section = self.read_record(stem).slide
            if section and section.identity.fingerprint == identity.fingerprint:
                self._update_record(stem, lambda record: replace(record, slide=replace(section, signature="")))

    def write_record_again(self, stem: str) -> None:
        """Write what is remembered of a slide anew, as it is."""
        with slide_lock(self.output, stem):
            self._update_record(stem, lambda record: record)

    def write_notes(self, stem: str, step: str, notes: StepNotes) -> None:
        """Remember what is odd about an output, or that nothing is any more."""
        with slide_lock(self.output, stem):
            self._update_record(stem, lambda record: record.with_notes(step, notes))

    def write_mask(self, stem: str, geojson: bytes, section: MaskRecord) -> None:
        """Keep a mask that a segmenter made.

        The record goes first and remembers the mask that it supersedes, so that a kill between the two files leaves
        an outdated automatic mask, not one that looks as if a person had drawn it.
        """

        def with_mask(record: Record, mtime_ns: int) -> Record:
            superseded = record.tissue_mask.polygons if record.tissue_mask else None
            return replace(record, tissue_mask=replace(section, mtime_ns=mtime_ns, superseded=superseded))

        with slide_lock(self.output, stem):
            self._write_outlines(stem, geojson, with_mask)

    def write_foreign_outlines(self, stem: str, geojson: bytes, tool: str, polygons: str) -> bool:
        """Keep outlines of another tool, unless some lie there already; return whether they were kept.

        ``polygons`` is their fingerprint. The record goes first, so that they never look as if a person had drawn them.
        """
        with slide_lock(self.output, stem):
            if self.geojson(stem).exists():
                return False
            self._write_outlines(stem, geojson, partial(_with_foreign, tool=tool, polygons=polygons))
            return True

    def note_outlines(self, stem: str, tool: str = "", polygons: str = "") -> None:
        """Remember the outlines of a slide as they lie there, which no step made; nothing where they are known.

        ``tool`` is whose they are and ``polygons`` their fingerprint, empty where a person saved them.
        """
        mtime_ns, before = self.geojson(stem).stat().st_mtime_ns, self.read_record(stem)
        after = _with_foreign(before, mtime_ns, tool, polygons) if tool else before
        if before.outlines is None or before.outlines.mtime_ns != mtime_ns:
            after = replace(after, outlines=OutlinesFile(bytes_sha256(self.geojson(stem)), mtime_ns))
        if after != before:
            changes = {"outlines": after.outlines, "foreign_outlines": after.foreign_outlines}
            with slide_lock(self.output, stem):
                self._update_record(stem, lambda record: replace(record, **changes))

    def keep_outlines(self, stem: str) -> Path:
        """Copy outlines that are about to be replaced to where they stay, and return that place."""
        path = self.geojson(stem)
        copy = self.replaced_outlines(stem, bytes_sha256(path))
        copy.parent.mkdir(exist_ok=True)
        self.write_file(stem, copy, path.read_bytes())
        return copy

    def check_outlines(self, stem: str) -> None:
        """Raise DamagedOutput where outlines are not what was written, though nobody saved them since."""
        path, outlines = self.geojson(stem), self.read_record(stem).outlines
        if outlines is None or not path.exists() or path.stat().st_mtime_ns != outlines.mtime_ns:
            return
        if (current := bytes_sha256(path)) != outlines.sha256:
            clause = f"is not what was written (sha256 {current[:12]}, written {outlines.sha256[:12]})"
            raise damaged_output(path, "the tissue mask", clause)

    def write_file(self, stem: str, path: Path, content: bytes) -> None:
        """Keep a picture or any other small file of a slide; an equal one is left alone."""
        if path.is_file() and path.read_bytes() == content:
            return
        with slide_lock(self.output, stem):
            self.check_source()
            self._write(stem, path, content)

    def stored_results(self, stem: str, geometry: str = "") -> dict[str, StoredResult]:
        """Return what a slide's HDF5 file holds. Raises UnreadableOutput when it is damaged or not ours."""
        return read_own_results(self.h5(stem, geometry))

    def write_coords(self, stem: str, geometry: str, write: Writer) -> None:
        """Keep a slide's coords: a new file, with those earlier results that belong to the very same coords.

        A file of ours is replaced, also a damaged one. Raises UnreadableOutput for one that others wrote.
        """
        path = self.h5(stem, geometry)
        with slide_lock(self.output, stem):
            is_known = geometry in self.read_record(stem).written
            check_replaceable(path, COORDS, is_known=is_known)
            with replacing(path) as temporary:
                write(temporary)
                self.check_source()
            if not is_known:
                self._update_record(stem, lambda record: record.with_results(geometry))

    def link_results(self, stem: str, geometry: str, former: str) -> bool:
        """Let a geometry have the file of a slide that lies under another name, too; return whether it was missing."""
        with slide_lock(self.output, stem):
            return _link(self.h5(stem, former), self.h5(stem, geometry))

    def link_cases(self, encoder: str, geometry: str, former: str) -> None:
        """Let a geometry have the embeddings of cases that lie under another name, where it has none of its own."""
        for case_id in list_files(self.case("any", encoder, former).parent, ".h5"):
            path = self.case(case_id, encoder, geometry)
            with slide_lock(path.parent, case_id):
                _link(self.case(case_id, encoder, former), path)

    def write_results(self, stem: str, geometry: str, coords: Identity, datasets: Sequence[Dataset]) -> None:
        """Add features or embeddings to a slide's file.

        Raises OutOfDate when another process has meanwhile replaced the coords that they were computed from.
        """
        path = self.h5(stem, geometry)
        with slide_lock(self.output, stem):
            coords_stored = self.stored_results(stem, geometry).get(COORDS)
            if coords_stored is None or coords_stored.fingerprint != coords.fingerprint:
                raise OutOfDate(f"{stem}: the coords in {path} changed while their features were computed; run again")
            with replacing(path) as temporary:
                write_added(path, datasets, self.write_rows)(temporary)
                self.check_source()

    def restamp(
        self, stem: str, geometry: str, stamps: Sequence[IdentityUpdate], canary: Mapping[str, int | float] = NO_NUMBERS
    ) -> None:
        """Give results another identity: their rows stay, and say why by the canary's numbers, if one was sent.

        Raises OutOfDate when one of them was replaced meanwhile.
        """
        path = self.h5(stem, geometry)
        with slide_lock(self.output, stem):
            results = self.stored_results(stem, geometry)
            if any(stamp.name not in results or results[stamp.name].fingerprint != stamp.before for stamp in stamps):
                raise OutOfDate(f"{stem}: the results in {path} changed while a canary was tried; run again")
            if stamps:
                with replacing(path) as temporary:
                    write_restamped(path, stamps, canary)(temporary)

    def _write_outlines(self, stem: str, geojson: bytes, note: Callable[[Record, int], Record]) -> None:
        """Write outlines after the record, to which ``note`` adds what they are, given their modification time."""
        with replacing(self.geojson(stem), stem) as temporary:
            now = time_ns()
            temporary.write_bytes(geojson)
            os.utime(temporary, ns=(now, now))
            mtime_ns = temporary.stat().st_mtime_ns  # not every storage keeps nanoseconds
            self.check_source()
            outlines = OutlinesFile(hashlib.sha256(geojson).hexdigest(), mtime_ns)
            self._update_record(stem, lambda record: replace(note(record, mtime_ns), outlines=outlines))

    def _update_record(self, stem: str, change: Callable[[Record], Record]) -> None:
        self._write(stem, self.record(stem), change(self.read_record(stem)).to_bytes())

    def _write(self, stem: str, path: Path, content: bytes) -> None:
        with replacing(path, stem) as temporary:
            temporary.write_bytes(content)


def _with_foreign(record: Record, mtime_ns: int, tool: str, polygons: str) -> Record:
    return replace(record, foreign_outlines=ForeignOutlines(tool, polygons, mtime_ns))


def _link(source: Path, path: Path) -> bool:
    """Give a file a second path, unless something lies there; return whether it did.

    Files are replaced and never changed, so that neither path sees what becomes of the other. Where the file system
    has no links it is copied.
    """
    if path.exists():
        return False
    with replacing(path) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
    return True


def read_own_results(path: Path) -> dict[str, StoredResult]:
    """Return what a slide's HDF5 file holds. Raises UnreadableOutput when it is damaged or not ours."""
    results = read_stored_results(path)
    if path.exists() and (COORDS not in results or results[COORDS].fingerprint is None):
        raise unusable_output(path)
    return results
