"""Folders of a web server, told by the page that lists them, as Apache, nginx and Python write it."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import RemoteObject, fault, head_object, library, open_store, store_errors

MOST_BYTES = 2**26
"""Of a page."""


class _Links(HTMLParser):
    """Collects where a page leads."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [target for name, target in attrs if tag == "a" and name == "href" and target]


def list_index(place: RemotePlace) -> Iterator[RemoteObject]:
    """Yield the files that a page of a web server lists, and those of the folders below. Raises as ``list_objects``."""
    for key in keys_below(place, page_at(place)):
        if key.endswith("/"):
            yield from list_index(RemotePlace(place.scheme, place.bucket, key.strip("/")))
        else:
            yield head_object(RemotePlace(place.scheme, place.bucket, key))


def page_at(place: RemotePlace) -> str:
    """Return the page that lists a folder. Raises UnreachableStore, UnreadableSlide."""
    obstore = library(place.root)
    try:
        answer = obstore.get(open_store(f"{place.url}/"), "", options={"range": (0, MOST_BYTES)})
    except store_errors():  # a page shorter than the part that was asked for is refused in several ways
        try:
            answer = obstore.get(open_store(f"{place.url}/"), "")
        except store_errors() as error:
            raise fault(place, error) from error
    return bytes(answer.bytes()).decode("utf-8", "replace")


def keys_below(place: RemotePlace, page: str) -> list[str]:
    """Return the keys right below a folder that its page leads to, sorted, each once; those of folders end in a slash.

    Links to the folder itself, to those above it, to other hosts and with a query are none.
    """
    links, folder = _Links(), f"{place.url}/"
    links.feed(page)
    keys = set()
    for target in links.targets:
        url = urlsplit(urljoin(folder, target))
        base = urlsplit(folder).path
        name = url.path.removeprefix(base)
        is_below = (url.scheme, url.netloc) == (place.scheme, place.bucket) and url.path.startswith(base)
        if is_below and not url.query and name and "/" not in name.rstrip("/"):
            keys.add(f"{place.key}/{unquote(name)}".lstrip("/"))
    return sorted(keys)
