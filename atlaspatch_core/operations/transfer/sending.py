"""One file on its way to a bucket."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from atlaspatch_core.errors import AnotherUpload, ReplacedSlide, UnreadableOutput, UnwritableOutput, WrongObject
from atlaspatch_core.operations.transfer.contents import (
    FileContent,
    LocalState,
    check_object,
    part_bytes,
    read_content,
)
from atlaspatch_core.operations.transfer.manifest import STAGED_FOLDER, FileEntry, SharedFile, UploadManifest
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import RemoteObject, head_object
from atlaspatch_core.remote.writing import is_ours, put_file

UploadFate = Literal["sent", "unchanged", "newer", "gone"]


@dataclass(frozen=True, slots=True)
class UploadJob:
    """What there is before anything is sent."""

    output: Path
    place: RemotePlace
    manifest: UploadManifest
    objects: Mapping[str, RemoteObject]
    """By their keys below the place."""
    shared: Mapping[str, SharedFile]
    dry_run: bool = False

    def has_whole(self, path: str, sha256: str | None = None) -> bool:
        """Tell whether the manifest names a file, with this content, and its object is of that size."""
        entry = self.manifest.files.get(path)
        one = self.objects.get(entry.key_of(path)) if entry else None
        return bool(entry and one and one.size == entry.size and sha256 in (None, entry.sha256))


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """What became of a file."""

    path: str
    fate: UploadFate
    """``newer``: another one was uploaded since this folder had it; ``gone``: before it was opened."""
    entry: FileEntry | None = None
    """Of the new manifest; None where the former one is as good."""
    state: LocalState | None = None


def send_file(job: UploadJob, path: str) -> UploadedFile:
    """Send a file where the bucket lacks it: what was opened, also where another takes its place meanwhile.

    Raises WrongObject, UnwritableOutput, UnreachableStore, UnreadableOutput.
    """
    try:
        with (job.output / path).open("rb") as file:
            state, former = LocalState.of(os.fstat(file.fileno())), job.shared.get(path)
            if former and former.state == state and job.has_whole(path, former.sha256):
                return _unchanged(job, path, state)
            return _send_open(job, path, file, state)
    except FileNotFoundError:
        return UploadedFile(path, "gone")
    except OSError as error:
        raise UnreadableOutput(
            f"{job.output / path} cannot be read ({error.strerror or error}); change its permissions and run again"
        ) from error


def _send_open(job: UploadJob, path: str, file: IO[bytes], state: LocalState) -> UploadedFile:
    content, former = read_content(file), job.shared.get(path)
    if job.has_whole(path, content.sha256):
        return _unchanged(job, path, state)
    if former and former.sha256 == content.sha256 and job.has_whole(path):
        return UploadedFile(path, "newer", state=state)
    key = _key_for(job, path, content)
    one = job.objects.get(key)
    is_there = one is not None and content.is_object(one)
    if not (is_there or job.dry_run):
        put_file(job.place / key, file, part_bytes(content.size))
        _check_sent(job, key, content)
    entry = FileEntry(content.size, content.sha256, state.mtime_ns, "" if key == path else key)
    return UploadedFile(path, "unchanged" if is_there else "sent", entry, state)


def _check_sent(job: UploadJob, key: str, content: FileContent) -> None:
    """Raise WrongObject; AnotherUpload where the file is new, and another folder may have sent one of its name."""
    try:
        check_object(head_object(job.place / key), content)
    except (WrongObject, ReplacedSlide) as error:
        raise AnotherUpload(str(error)) if key not in job.objects else error from error


def _unchanged(job: UploadJob, path: str, state: LocalState) -> UploadedFile:
    entry = job.manifest.files[path]
    same = FileEntry(entry.size, entry.sha256, state.mtime_ns, entry.key)
    return UploadedFile(path, "unchanged", same, state)


def _key_for(job: UploadJob, path: str, content: FileContent) -> str:
    """Return where a content is put: beside an object that is there, which the manifest names, or may name soon."""
    entry, one = job.manifest.files.get(path), job.objects.get(path)
    if entry and entry.sha256 == content.sha256:
        return entry.key_of(path)
    if one is None or content.is_object(one):
        return path
    if entry is None:
        _check_ours(one, path)
    return f"{STAGED_FOLDER}/{content.sha256}"


def _check_ours(one: RemoteObject, path: str) -> None:
    if not is_ours(one.place):
        raise UnwritableOutput(
            f"{one.place.url} is an object that no upload put there, and differs from {path}; upload to another place, "
            "or move it"
        )
