"""Results of an output folder, copied to a bucket whole.

What the manifest names is there at any moment, with the content that it says: new contents of known files are put
aside, the manifest names them there, and only then do they take the places of the former ones.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

from atlaspatch_core.errors import AnotherUpload, NoSlides, UnwritableOutput, WrongObject
from atlaspatch_core.operations.transfer.contents import LocalState
from atlaspatch_core.operations.transfer.files import TravellingFiles, list_output, rank
from atlaspatch_core.operations.transfer.manifest import (
    STAGED_FOLDER,
    FileEntry,
    SharedFile,
    UploadManifest,
    read_manifest,
    read_shared,
    write_manifest,
    write_shared,
)
from atlaspatch_core.operations.transfer.removal import remove_sent
from atlaspatch_core.operations.transfer.sending import UploadedFile, UploadJob, send_file
from atlaspatch_core.operations.transfer.threads import Watch, in_threads, one_transfer, unwatched
from atlaspatch_core.remote.listing import list_objects
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import RemoteObject, head_object
from atlaspatch_core.remote.writing import check_writable, copy_object, find_object, remove_objects

LARGEST_COPY = 5 * 10**9
"""Bytes that S3 copies at once; what is larger stays where it was put aside."""
ATTEMPTS = 10
"""To replace the manifest, which uploads of other folders to the same place replace, too."""
LONGEST_UPLOAD = timedelta(days=1)
"""What was put aside before that, and no manifest names, is of an upload that was killed."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did, or in a dry run would."""

    files: Sequence[UploadedFile]
    objects_removed: Sequence[str]
    """Of files that were uploaded from this folder and are gone."""
    changed: Sequence[str]
    """Files that others replaced, or removed, while this went on."""
    removed: Sequence[str]
    """Files that lie in the bucket alone now."""
    others: TravellingFiles

    def count(self, fate: str) -> int:
        """Return how many files had a fate."""
        return sum(one.fate == fate for one in self.files)

    @property
    def bytes_sent(self) -> int:
        """Bytes that travelled."""
        return sum(one.entry.size for one in self.files if one.fate == "sent" and one.entry)


def upload_results(
    output: Path, place: RemotePlace, *, remove: bool = False, dry_run: bool = False, watch: Watch = unwatched
) -> Uploaded:
    """Copy the results of an output folder to a bucket, and replace the manifest there when all have arrived.

    Args:
        output: The folder.
        place: Where they go to.
        remove: Remove from the folder what lies in the bucket, and is still what was sent.
        dry_run: Change nothing, here or there.
        watch: Is given the files as they come, and their number.

    Returns:
        What became of each file.

    Raises:
        NoSlides: The folder has no results.
        WrongObject, UnwritableOutput, UnreadableOutput, UnreachableStore, AnotherUpload, MissingExtra.
    """
    check_writable(place)
    files = list_output(output)
    if not files.travelling:
        raise NoSlides(f"{output}: there are no results to upload; name the output folder of a run")
    with one_transfer(output, place):
        for attempt in range(ATTEMPTS):
            try:
                return _upload_once(open_job(output, place, dry_run=dry_run), files, watch, remove=remove)
            except AnotherUpload:
                if attempt == ATTEMPTS - 1:
                    raise
            time.sleep(random.uniform(0, 0.1 * 2**attempt))
    raise AssertionError


def _upload_once(job: UploadJob, files: TravellingFiles, watch: Watch, *, remove: bool) -> Uploaded:
    handled = list(watch(_send_all(job, files.travelling), len(files.travelling)))
    changed = [one.path for one in handled if not is_still_there(job.output, one)]
    gone = _gone(job, files)
    removed = [] if job.dry_run else _finish(job, handled, gone, remove=remove)
    return Uploaded(handled, gone, changed, removed, files)


def open_job(output: Path, place: RemotePlace, *, dry_run: bool = False) -> UploadJob:
    """Return what there is in a folder and a bucket. Raises UnreachableStore, UnreadableOutput, MissingExtra."""
    start = len(place.key) + 1 if place.key else 0
    manifest = read_manifest(place)  # before its objects, which then are there, or newer
    objects = {one.place.key[start:]: one for one in list_objects(place)}
    return UploadJob(output, place, manifest, objects, read_shared(output, place), dry_run)


def _send_all(job: UploadJob, paths: Sequence[str]) -> Iterator[UploadedFile]:
    for _, group in groupby(paths, rank):
        yield from in_threads(partial(send_file, job), group)


def is_still_there(output: Path, one: UploadedFile) -> bool:
    """Tell whether a file is the one that was opened."""
    try:
        return LocalState.of((output / one.path).stat()) == one.state
    except OSError:
        return False


def _gone(job: UploadJob, files: TravellingFiles) -> list[str]:
    """Return the files of the bucket that this folder had, and has no more; those of other folders are theirs."""
    here = {*files.travelling, *files.unusable}
    entries = job.manifest.files
    candidates = (path for path in job.shared if path not in here and not _may_exist(job.output, path))
    return sorted(path for path in candidates if path in entries and entries[path].sha256 == job.shared[path].sha256)


def _may_exist(output: Path, path: str) -> bool:
    """Tell whether a file is there, or behind a link whose disk is away."""
    parts = (output / path, *(output / parent for parent in Path(path).parents))
    return parts[0].exists() or any(part.is_symlink() and not part.exists() for part in parts)


def _finish(job: UploadJob, handled: Sequence[UploadedFile], gone: Sequence[str], *, remove: bool) -> list[str]:
    """Replace the manifest, tidy up behind it, remember what is shared, and return which files were removed here."""
    former, entries = job.manifest.files, {one.path: one.entry for one in handled if one.entry}
    files = {path: entry for path, entry in {**former, **entries}.items() if path not in gone}
    first = job.manifest if files == former else write_manifest(job.place, files, job.manifest.tag)
    last = _settle(job, first)
    aside = {entry.key for entry in (*former.values(), *first.files.values()) if entry.key}
    _remove_unnamed(job, last, {*aside, *(former[path].key_of(path) for path in gone)})
    shared = {path: one for path, one in job.shared.items() if path not in gone}
    shared |= {one.path: SharedFile(one.entry.sha256, one.state) for one in handled if one.entry and one.state}
    return remove_sent(job, handled, shared) if remove else _remember(job, shared)


def _remember(job: UploadJob, shared: Mapping[str, SharedFile]) -> list[str]:
    if shared != job.shared:
        write_shared(job.output, job.place, shared)
    return []


def _settle(job: UploadJob, manifest: UploadManifest) -> UploadManifest:
    """Copy what was put aside to where its file belongs, and name it there."""
    aside = {path: entry for path, entry in manifest.files.items() if entry.key and entry.size <= LARGEST_COPY}
    if not aside:
        return manifest
    list(in_threads(lambda item: _copy(job.place, *item), aside.items()))
    files = {**manifest.files, **{path: replace(entry, key="") for path, entry in aside.items()}}
    return write_manifest(job.place, files, manifest.tag)


def _copy(place: RemotePlace, path: str, entry: FileEntry) -> RemoteObject:
    try:
        copy_object(place / entry.key, place / path)
    except UnwritableOutput as error:
        if find_object(place / entry.key) is None:
            raise AnotherUpload(f"{place.url}: another upload tidied up meanwhile; run again") from error
        raise
    one = head_object(place / path)
    if one.size != entry.size:
        raise WrongObject(f"{one.place.url} has {one.size:,} bytes, and should have {entry.size:,}; run again")
    return one


def _remove_unnamed(job: UploadJob, manifest: UploadManifest, keys: Set[str]) -> None:
    """Remove objects that the new manifest does not name: those of ``keys``, and what killed uploads put aside."""
    named = {entry.key_of(path) for path, entry in manifest.files.items()}
    old = datetime.now(UTC) - LONGEST_UPLOAD
    aside = {key for key, one in job.objects.items() if key.startswith(f"{STAGED_FOLDER}/") and one.modified < old}
    remove_objects(job.place / key for key in sorted((keys | aside) - named))
