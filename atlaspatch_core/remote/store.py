"""Object stores: S3, Google Cloud Storage, Azure and web servers, through obstore.

Credentials are found as each maker's own tools find them, in environment variables and on the machine.
"""

import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from atlaspatch_core.errors import MissingExtra, ReplacedSlide, UnreachableStore, UnreadableSlide
from atlaspatch_core.remote.endpoints import check_endpoints
from atlaspatch_core.remote.places import RemotePlace

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

SECONDS_VARIABLE = "ATLASPATCH_REMOTE_SECONDS"
SECONDS = 180.0
"""For which a store that fails is asked again and again."""
ATTEMPTS = 4
"""Of a request whose answer breaks off, besides those that obstore makes by itself."""
SECONDS_BETWEEN = 0.5
"""Before the second attempt; then twice as long each time."""
WEB = ("https", "http")


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """One object, as it was listed."""

    place: RemotePlace
    size: int
    """Bytes."""
    modified: datetime
    etag: str
    """What its store calls this content; empty where it calls it nothing."""


def library(root: str) -> Any:
    """Return the package obstore, which a bucket, container or host needs. Raises MissingExtra."""
    try:
        import obstore.store
    except ImportError as error:
        raise MissingExtra(
            f"{root} lies in an object store, for which the package obstore is not installed; "
            "pip install 'atlaspatch[remote]'"
        ) from error
    return obstore


def store_errors() -> tuple[type[Exception], ...]:
    """Return what a request may raise: obstore's own classes, and those of Python that obstore and open files raise."""
    from obstore.exceptions import BaseError

    return BaseError, OSError, ValueError, NotImplementedError


@lru_cache(64)
def open_store(root: str) -> "ObjectStore":
    """Return the store of a bucket, container or host. Raises MissingExtra, UnreachableStore."""
    from_url = library(root).store.from_url
    check_endpoints(root)
    timeout = timedelta(seconds=patience())
    more = credentials() if root.startswith("s3:") else {}
    client = {"timeout": min(timedelta(seconds=60), timeout), "allow_http": True}
    retries = {"max_retries": 20, "retry_timeout": timeout}
    try:
        return from_url(root, client_options=client, retry_config=retries, **more)
    except store_errors() as error:
        raise UnreachableStore(
            f"{root}: this store cannot be set up ({reason(error)}); correct the variables that say its address and "
            "credentials"
        ) from error


def patience() -> float:
    """Return for how many seconds a store that fails is asked again."""
    return float(os.environ.get(SECONDS_VARIABLE, SECONDS))


def credentials() -> dict[str, Any]:
    """Return what finds the credentials of profiles and of SSO: boto3, where it is installed and variables say none."""
    if os.environ.keys() & {"AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE"}:
        return {}
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return {"credential_provider": Boto3CredentialProvider()}
    except (ImportError, ValueError):  # not installed, or it knows of none either
        return {}


def head_object(place: RemotePlace) -> RemoteObject:
    """Return what a store says of one object. Raises UnreachableStore, UnreadableSlide."""
    obstore = library(place.root)
    try:
        return described(place, obstore.head(open_store(place.root), place.key))
    except store_errors() as error:
        raise fault(place, error) from error


def read_bytes(one: RemoteObject, start: int, stop: int) -> memoryview:
    """Return the bytes from ``start`` to before ``stop``.

    Raises ReplacedSlide where the object is another now, UnreachableStore, UnreadableSlide.
    """
    obstore = library(one.place.root)
    strong = bool(one.etag) and not one.etag.startswith("W/")
    options: GetOptions = {"range": (start, stop)}
    if strong:
        options["if_match"] = one.etag
    end = time.monotonic() + patience()
    for attempt in range(ATTEMPTS + 1):
        try:
            answer = obstore.get(open_store(one.place.root), one.place.key, options=options)
            if not is_same(one, answer.meta):
                raise _replaced(one.place)
            content = memoryview(answer.bytes())
            if len(content) == stop - start:
                return content
            cause: Exception = ValueError(f"{len(content)} bytes came of {stop - start}")
        except store_errors() as error:
            cause = error
        if attempt == ATTEMPTS or not passes(cause) or time.monotonic() > end:
            raise fault(one.place, cause) from cause
        time.sleep(SECONDS_BETWEEN * 2**attempt)
    raise AssertionError


def is_same(one: RemoteObject, meta: Any) -> bool:
    """Tell whether what a store says of an object now is what it said when it was listed."""
    tells = meta["e_tag"] or meta["last_modified"]
    return (meta["size"], tells) == (one.size, one.etag or one.modified)


def passes(error: Exception) -> bool:
    """Tell whether a request may succeed when it is made again at once."""
    from obstore.exceptions import GenericError

    return isinstance(error, GenericError | ValueError)


def fault(place: RemotePlace, error: Exception) -> ReplacedSlide | UnreachableStore | UnreadableSlide:
    """Return what to say of a store that did not do what it was asked for."""
    from obstore.exceptions import (
        NotSupportedError,
        PermissionDeniedError,
        PreconditionError,
        UnauthenticatedError,
    )

    stem, cause = place.key.rpartition("/")[2] or place.bucket, reason(error)
    if isinstance(error, PreconditionError):
        return _replaced(place)
    if isinstance(error, FileNotFoundError) or "404 Not Found" in cause:  # the latter of a bucket
        return UnreadableSlide(f"{stem}: {place.url} is not there; check the URL, or run again if it was moved")
    if "invalid path" in cause:  # the library gives up the whole list for such a key
        return UnreadableSlide(
            f"{stem}: {place.url} holds an object whose key can be no path ({cause}); rename it, or name a folder "
            "beside it"
        )
    if isinstance(error, NotSupportedError):
        return UnreadableSlide(
            f"{stem}: {place.url} lies on a server that sends no parts of files ({cause}); copy it to a local disk"
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return UnreadableSlide(
            f"{stem}: {place.url} may not be read with the credentials that were found ({cause}); set those of its "
            "store in the environment"
        )
    return UnreachableStore(
        f"{place.url} cannot be read, its store does not answer as it should ({cause}); run again when it does: what "
        "was finished is reused"
    )


def reason(error: Exception) -> str:
    """Return the cause in few words: obstore appends all that it knows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"


def _replaced(place: RemotePlace) -> ReplacedSlide:
    return ReplacedSlide(f"{place.url} was replaced while it was read; run again when it is whole")


def described(place: RemotePlace, meta: Any) -> RemoteObject:
    """Return an object as obstore describes it."""
    return RemoteObject(place, meta["size"], meta["last_modified"], meta["e_tag"] or "")
