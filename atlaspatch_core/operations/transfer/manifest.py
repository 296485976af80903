"""What lies in a bucket, and what an output folder and a bucket had in common: two files of one shape."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import ReplacedSlide, UnreadableOutput
from atlaspatch_core.operations.transfer.contents import LocalState
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import read_bytes
from atlaspatch_core.remote.writing import find_object, replace_bytes
from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.storage.paths import OutputPaths

MANIFEST = "atlaspatch-upload.json"
STAGED_FOLDER = ".atlaspatch-upload"
"""Below it lie new contents of files whose former ones the manifest still names."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a bucket."""

    size: int
    """Bytes."""
    sha256: str
    mtime_ns: int
    """Of the file: records know the outlines that a person saved by it."""
    key: str = ""
    """Where its object lies, below the manifest's folder; empty where that is its path."""

    def key_of(self, path: str) -> str:
        """Return where the object lies of the file with this path."""
        return self.key or path


@dataclass(frozen=True, slots=True)
class UploadManifest:
    """The files of a bucket by their paths, and the tag of the object that says so, empty where there is none."""

    files: Mapping[str, FileEntry]
    tag: str = ""


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file that an output folder and a bucket had in common."""

    sha256: str
    state: LocalState


def read_manifest(place: RemotePlace) -> UploadManifest:
    """Return what a bucket holds; no files where nothing was uploaded. Raises UnreadableOutput, UnreachableStore."""
    one = find_object(place / MANIFEST)
    if one is None:
        return UploadManifest({})
    try:
        return UploadManifest(_entries(bytes(read_bytes(one, 0, one.size)) if one.size else b""), one.etag)
    except ReplacedSlide:
        return read_manifest(place)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableOutput(
            f"{one.place.url} is no manifest of an upload ({error}); name another place, or take a newer atlaspatch"
        ) from error


def _entries(content: bytes) -> dict[str, FileEntry]:
    return {path: FileEntry(**entry) for path, entry in json.loads(content)["files"].items()}


def write_manifest(place: RemotePlace, files: Mapping[str, FileEntry], former: str) -> UploadManifest:
    """Replace what a bucket is said to hold. Raises AnotherUpload where another did since ``former`` was its tag."""
    entries = {path: _without_empty(asdict(files[path])) for path in sorted(files)}
    content = json.dumps({"format": 1, "files": entries}, indent=0).encode()
    return UploadManifest(files, replace_bytes(place / MANIFEST, content, former))


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != ""}


def note_path(output: Path, place: RemotePlace) -> Path:
    """Return where an output folder remembers what it has in common with a bucket."""
    return OutputPaths(output).upload_note(sha256(place.url.encode()).hexdigest()[:16])


def read_shared(output: Path, place: RemotePlace) -> dict[str, SharedFile]:
    """Return what an output folder had in common with a bucket; nothing where that cannot be read."""
    try:
        values = json.loads(note_path(output, place).read_bytes())["files"]
        return {path: SharedFile(sha256, LocalState(*state)) for path, (sha256, *state) in values.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_shared(output: Path, place: RemotePlace, shared: Mapping[str, SharedFile]) -> None:
    """Remember what an output folder has in common with a bucket. Raises UnwritableOutput."""
    files = {path: [one.sha256, one.state.inode, one.state.size, one.state.mtime_ns] for path, one in shared.items()}
    with replacing(note_path(output, place)) as temporary:
        temporary.write_text(json.dumps({"url": place.url, "files": files}), encoding="utf-8")
