"""Slides of object stores, copied while those before them are worked on."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import zip_longest

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.slides.local_copy import REMOTE_COPIES, is_remote, local_copy

log = logging.getLogger(__name__)


def copy_ahead(
    sources: Sequence[SlideSource], find_unread: Callable[[Sequence[str]], Collection[str]]
) -> Iterator[SlideSource]:
    """Yield the slides; while one is worked on, the next is copied where it lies in a store and will be read.

    ``find_unread`` returns those of the stems whose pixels nobody will read. What has no room beside the others is
    copied when it is opened.
    """

    @cache
    def unread() -> Collection[str]:
        return find_unread([source.stem for source in sources if is_remote(source.path)])

    def copy(source: SlideSource) -> None:
        try:
            if source.stem not in unread() and REMOTE_COPIES.has_room(source.path):
                local_copy(source.path)
        except (AtlasPatchError, OSError) as error:  # opening the slide says it
            log.debug("%s: not copied ahead: %s", source.stem, error)

    with ThreadPoolExecutor(1, "copy") as pool:
        for source, following in zip_longest(sources, sources[1:]):
            if following and is_remote(following.path):
                pool.submit(copy, following)
            yield source
