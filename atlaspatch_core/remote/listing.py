"""What lies in a bucket, a container, or a folder of a web server."""

from collections.abc import Iterator

from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import WEB, RemoteObject, described, fault, library, open_store, store_errors
from atlaspatch_core.remote.web_index import list_index


def list_objects(place: RemotePlace) -> Iterator[RemoteObject]:
    """Yield the object of that key, or all whose keys begin with it and a slash.

    Raises UnreachableStore, MissingExtra; UnreadableSlide where the store refuses.
    """
    obstore, store = library(place.root), open_store(place.root)
    if place.key and (place.scheme not in WEB or "." in place.key.rpartition("/")[2]):
        try:
            yield described(place, obstore.head(store, place.key))
            return
        except FileNotFoundError:
            pass
        except store_errors() as error:
            raise fault(place, error) from error
    if place.scheme in WEB:
        yield from list_index(place)
        return
    try:
        for batch in obstore.list(store, prefix=place.key or None):
            yield from (described(RemotePlace(place.scheme, place.bucket, one["path"]), one) for one in batch)
    except store_errors() as error:
        raise fault(place, error) from error
