"""Placeholders of what lies in object stores, kept as the stores are: they are made, changed and removed.

Each has the size of its object, and as its time of change that of the object, with nanoseconds that tell its tag: so an
object that was replaced is a file that changed.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from atlaspatch_core.errors import AtlasPatchError, MissingExtra, UnseenSlides, UnwritableOutput
from atlaspatch_core.remote.listing import list_objects
from atlaspatch_core.remote.places import RemotePlace, is_usable_key
from atlaspatch_core.remote.store import RemoteObject, read_bytes

HEAD_BYTES = 65_536
"""Of files whose first bytes tell to which slide they belong."""
TEMPORARY = ".atlaspatch-tmp"
"""What the names of placeholders end in while they are written."""
TOLD_BY_HEAD = (".dcm", ".dicom", ".vms", ".vmu")


def mirror(place: RemotePlace, output: Path) -> list[RemotePlace]:
    """Have the placeholders of a place be what its store holds now; return objects whose keys can be no path.

    Raises UnseenSlides where the store cannot be asked, and MissingExtra.
    """
    path = place.placeholder(output)
    try:
        listed = [one for one in list_objects(place) if not one.place.key.endswith("/")]
    except MissingExtra:
        raise
    except AtlasPatchError as error:
        raise UnseenSlides(str(error)) from error
    if not listed:
        raise UnseenSlides(f"{place.url}: there is nothing; check the URL")
    objects = [one for one in listed if is_usable_key(one.place.key)]
    paths = {one.place.placeholder(output) for one in objects}
    try:
        for one in objects:
            update(one, one.place.placeholder(output))
        if path.is_dir():
            remove_others(path, paths)
    except OSError as error:
        raise UnwritableOutput(
            f"{path}: what lies in {place.url} cannot be noted there ({error.strerror or error}); name an output "
            "folder that you may write"
        ) from error
    return [one.place for one in listed if not is_usable_key(one.place.key)]


@contextmanager
def mirrored(path: Path) -> Iterator[Path]:
    """Give a path as it is, of a URL its placeholders, which go afterwards. Raises as ``mirror`` does."""
    place = RemotePlace.of_url(path)
    if place is None:
        yield path
        return
    with TemporaryDirectory() as folder:
        mirror(place, Path(folder))
        yield place.placeholder(Path(folder))


def mtime_ns(one: RemoteObject) -> int:
    """Return the time of change of a placeholder: that of the object, the part of a second told by its tag."""
    digest = hashlib.sha256(one.etag.encode()).digest() if one.etag else b""
    return int(one.modified.timestamp()) * 10**9 + int.from_bytes(digest[:8], "big") % 10**9


def update(one: RemoteObject, path: Path) -> None:
    """Make a placeholder what its object is; one that is that is not touched. Raises OSError."""
    try:
        state = path.stat()
        if (state.st_size, state.st_mtime_ns) == (one.size, mtime_ns(one)):
            return
    except OSError:
        pass
    is_told = path.name.lower().endswith(TOLD_BY_HEAD) and one.size
    head = read_bytes(one, 0, min(HEAD_BYTES, one.size)) if is_told else b""
    try:
        write_placeholder(one, path, head)
    except FileNotFoundError:  # another process removed the folder, in which nothing lay yet
        write_placeholder(one, path, head)


def write_placeholder(one: RemoteObject, path: Path, head: bytes | memoryview) -> None:
    """Write a file of the object's size and time that holds its ``head`` alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}{TEMPORARY}")
    with temporary.open("xb") as file:
        file.write(head)
        file.truncate(one.size)
    os.utime(temporary, ns=(mtime_ns(one), mtime_ns(one)))
    temporary.replace(path)


def remove_others(folder: Path, paths: Iterable[Path]) -> None:
    """Remove the placeholders in a folder whose objects are gone, and folders that are empty then.

    What another process is writing stays.
    """
    names_there = {str(path) for path in paths}
    for here, folders, names in os.walk(folder, topdown=False):
        for name in names:
            if str(Path(here, name)) not in names_there and not name.endswith(TEMPORARY):
                Path(here, name).unlink(missing_ok=True)
        for name in folders:
            with suppress(OSError):  # it is not empty
                Path(here, name).rmdir()
