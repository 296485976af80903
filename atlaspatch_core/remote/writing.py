"""Objects that are put, copied and removed; each appears when it is whole."""

import time
from collections.abc import Callable, Iterable
from typing import IO, Any, TypeVar

from atlaspatch_core.errors import AnotherUpload, AtlasPatchError, ReplacedSlide, UnreachableStore, UnwritableOutput
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import (
    ATTEMPTS,
    SECONDS_BETWEEN,
    WEB,
    RemoteObject,
    described,
    fault,
    library,
    open_store,
    passes,
    patience,
    read_bytes,
    reason,
    store_errors,
)

Made = TypeVar("Made")
OURS = {"atlaspatch": "upload"}
"""Metadata of objects that are put here."""
CONNECTIONS = 4
"""Parts of one file that travel at once."""


def check_writable(place: RemotePlace) -> None:
    """Raise UnwritableOutput where nothing can be put."""
    if place.scheme in WEB:
        raise UnwritableOutput(f"{place.url}: a web server takes no files; give an s3://, gs:// or az:// URL")


def put_file(place: RemotePlace, file: IO[bytes], part_bytes: int) -> None:
    """Put what an open file holds, from its beginning. Raises UnwritableOutput, UnreachableStore, MissingExtra."""
    obstore = library(place.root)

    def put() -> None:
        file.seek(0)
        store, most = open_store(place.root), CONNECTIONS
        obstore.put(store, place.key, file, attributes=OURS, chunk_size=part_bytes, max_concurrency=most)

    _repeat(place, put)


def replace_bytes(place: RemotePlace, content: bytes, tag: str) -> str:
    """Put an object in the place of the one that has this tag, or where there is none for an empty one; return its tag.

    Raises AnotherUpload where another is there, and as ``put_file`` does.
    """
    obstore = library(place.root)
    mode: Any = {"e_tag": tag} if tag else "create"
    try:
        options = {"attributes": OURS, "mode": mode}
        answer = _repeat(place, lambda: obstore.put(open_store(place.root), place.key, content, **options))
        return answer["e_tag"] or ""
    except AnotherUpload:  # perhaps this one, whose answer was lost
        one = find_object(place)
        if one is None or not _holds(one, content):
            raise
        return one.etag


def _holds(one: RemoteObject, content: bytes) -> bool:
    try:
        return one.size == len(content) and read_bytes(one, 0, one.size) == content
    except ReplacedSlide:
        return False


def copy_object(source: RemotePlace, target: RemotePlace) -> None:
    """Copy an object within its bucket, where no byte of it comes here. Raises as ``put_file`` does."""
    obstore = library(target.root)
    _repeat(target, lambda: obstore.copy(open_store(source.root), source.key, target.key))


def remove_objects(places: Iterable[RemotePlace]) -> None:
    """Remove objects of one bucket; those that are gone do not matter. Raises as ``put_file`` does."""
    there = list(places)
    if there:
        keys, first = [place.key for place in there], there[0]
        obstore = library(first.root)
        _repeat(first, lambda: obstore.delete(open_store(first.root), keys))


def find_object(place: RemotePlace) -> RemoteObject | None:
    """Return what a store says of an object, None where there is none. Raises as ``head_object`` does."""
    obstore = library(place.root)
    try:
        return described(place, obstore.head(open_store(place.root), place.key))
    except FileNotFoundError:
        return None
    except store_errors() as error:
        raise fault(place, error) from error


def is_ours(place: RemotePlace) -> bool:
    """Tell whether an object was put by an upload. Raises as ``head_object`` does."""
    obstore = library(place.root)
    try:
        attributes = obstore.get(open_store(place.root), place.key, options={"head": True}).attributes
        return OURS.items() <= dict(attributes).items()
    except store_errors() as error:
        raise fault(place, error) from error


def _repeat(place: RemotePlace, action: Callable[[], Made]) -> Made:
    """Do what may be done twice, again and again while its store fails."""
    end = time.monotonic() + patience()
    for attempt in range(ATTEMPTS + 1):
        try:
            return action()
        except store_errors() as error:
            if attempt == ATTEMPTS or not passes(error) or time.monotonic() > end:
                raise _write_fault(place, error) from error
        time.sleep(SECONDS_BETWEEN * 2**attempt)
    raise AssertionError


def _write_fault(place: RemotePlace, error: Exception) -> AtlasPatchError:
    from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

    if isinstance(error, AlreadyExistsError | PreconditionError):
        return AnotherUpload(f"{place.url} was replaced by another upload meanwhile; run again to add to it")
    if isinstance(error, FileNotFoundError):
        return UnwritableOutput(f"{place.url} cannot be written: {place.root} is not there; make it, or check the URL")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return UnwritableOutput(
            f"{place.url} may not be written with the credentials that were found ({reason(error)}); set those of its "
            "store in the environment"
        )
    return UnreachableStore(
        f"{place.url} cannot be written, its store does not answer as it should ({reason(error)}); run again when it "
        "does: what was sent is not sent again"
    )
