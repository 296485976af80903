"""Results of a bucket, brought to an output folder by their manifest."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from atlaspatch_core.errors import ReplacedSlide, UnreadableOutput, UnreadableSlide, UnwritableOutput, WrongObject
from atlaspatch_core.operations.transfer.contents import LEAST_PART, LocalState
from atlaspatch_core.operations.transfer.files import can_be_key, is_of_results, lock_of, stem_of_result, stems_among
from atlaspatch_core.operations.transfer.manifest import (
    MANIFEST,
    FileEntry,
    SharedFile,
    UploadManifest,
    read_manifest,
    read_shared,
    write_shared,
)
from atlaspatch_core.operations.transfer.threads import Watch, in_threads, one_transfer, unwatched
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import head_object, read_bytes
from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.storage.checksums import bytes_sha256

ATTEMPTS = 10
"""To read files of one manifest, which uploads replace meanwhile."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download did."""

    fetched: Sequence[str]
    unchanged: int
    bytes_fetched: int


def download_results(place: RemotePlace, output: Path, *, force: bool = False, watch: Watch = unwatched) -> Downloaded:
    """Bring the files of a bucket's manifest to a folder: those that it lacks, or has otherwise.

    Files that lie here alone stay.

    Args:
        place: Where an upload went to.
        output: The folder; made where it is missing.
        force: Replace files that differ though this folder never had them from there.
        watch: Is given the files as they come, and their number.

    Raises:
        UnwritableOutput: A file would be replaced that is not as it was last uploaded or downloaded; nothing is.
        WrongObject, UnreadableOutput, UnreachableStore, MissingExtra.
    """
    _usable_manifest(place)  # or else nothing is made here
    with one_transfer(output, place):
        for _ in range(ATTEMPTS):
            manifest = _usable_manifest(place)
            try:
                return _download_once(place, output, manifest.files, watch, force=force)
            except (WrongObject, ReplacedSlide, UnreadableSlide):
                if read_manifest(place).tag == manifest.tag:
                    raise  # else an upload finished meanwhile
    raise WrongObject(f"{place.url}: uploads replace its files all the time; run again when they have ended")


def _usable_manifest(place: RemotePlace) -> UploadManifest:
    manifest = read_manifest(place)
    if not manifest.files:
        raise UnreadableOutput(f"{place.url}: there is no {MANIFEST}; check the URL, or upload results first")
    for path in manifest.files:
        _check_path(place, path)
    return manifest


def _download_once(
    place: RemotePlace, output: Path, files: Mapping[str, FileEntry], watch: Watch, *, force: bool
) -> Downloaded:
    shared = read_shared(output, place)
    hashes = dict(zip(files, in_threads(partial(_sha256, output), files), strict=True))
    lacking = [path for path, entry in files.items() if hashes[path] != entry.sha256]
    if not force:
        former = {path: one.sha256 for path, one in shared.items()}
        _check_replaceable(place, output, [path for path in lacking if hashes[path] not in ("", former.get(path))])
    arrived, stems = dict(shared), stems_among(files)

    def fetch(path: str) -> str:
        _fetch(place / files[path].key_of(path), output, path, stems, files[path])
        arrived[path] = SharedFile(files[path].sha256, LocalState.of((output / path).stat()))
        return path

    try:
        list(watch(in_threads(fetch, lacking), len(lacking)))
    finally:
        write_shared(output, place, arrived)
    states = {path: _with_time(output / path, entry) for path, entry in files.items()}
    write_shared(output, place, arrived | {path: SharedFile(files[path].sha256, states[path]) for path in files})
    return Downloaded(lacking, len(files) - len(lacking), sum(files[path].size for path in lacking))


def _check_path(place: RemotePlace, path: str) -> None:
    if not (can_be_key(path) and is_of_results(PurePosixPath(path))):
        raise UnreadableOutput(f"{(place / MANIFEST).url} names {path!r}, which is no file of results; upload again")


def _sha256(output: Path, path: str) -> str:
    """Return the hash of a file, empty where there is none."""
    try:
        return bytes_sha256(output / path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnreadableOutput(
            f"{output / path} cannot be read ({error.strerror or error}); change its permissions and run again"
        ) from error


def _check_replaceable(place: RemotePlace, output: Path, paths: Sequence[str]) -> None:
    if paths:
        names = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        raise UnwritableOutput(
            f"{output}: {names} would be replaced by what {place.url} holds, and nobody had them from there; download "
            "to another folder, or replace them by --force"
        )


def _fetch(place: RemotePlace, output: Path, path: str, stems: frozenset[str], entry: FileEntry) -> None:
    """Have a file be what the manifest says, at once. Raises WrongObject, and as ``read_bytes`` does."""
    with lock_of(output, path, stems), replacing(output / path, stem_of_result(path, stems)) as temporary:
        one, digest = head_object(place), hashlib.sha256()
        with temporary.open("xb") as file:
            for start in range(0, one.size, LEAST_PART):
                part = read_bytes(one, start, min(start + LEAST_PART, one.size))
                digest.update(part)
                file.write(part)
        if digest.hexdigest() != entry.sha256:
            raise WrongObject(
                f"{one.place.url} is not what the manifest says (sha256 {digest.hexdigest()[:12]}, uploaded "
                f"{entry.sha256[:12]}); run again, and upload it anew if that does not help"
            )
        os.utime(temporary, ns=(entry.mtime_ns, entry.mtime_ns))


def _with_time(path: Path, entry: FileEntry) -> LocalState:
    """Return the state of a file, which has its time of change now: records know outlines by it."""
    if path.stat().st_mtime_ns != entry.mtime_ns:
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    return LocalState.of(path.stat())
