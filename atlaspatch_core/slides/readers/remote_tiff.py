"""Copies of objects before a reader opens them: of TIFFs whose tiles are asked for one by one, all but tiles is there.

Everything else is fetched whole.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, final

from atlaspatch_core.remote.sparse_file import SparseFile, close_holes, sparse_file
from atlaspatch_core.slides.readers.damage import DAMAGED_FILE
from atlaspatch_core.slides.readers.openslide_tiff import LAX, VENDORS
from atlaspatch_core.slides.readers.tiff import PLAIN, is_tiff
from atlaspatch_core.slides.readers.tiff_vendors import vendor_of_layout

if TYPE_CHECKING:
    import tifffile

SMALL = 4 * 2**20
"""Bytes of a file that is fetched whole, whatever it is: that takes one round trip."""
HEAD_BYTES = 65_536
"""By which readers tell what a file is."""
READ_BEHIND, READ_AHEAD = 8192, 65_536
"""Bytes that are fetched where a few are wanted: what a page says of itself lies close together."""
LARGEST_HASHED = 5 * 2**20
"""Bytes of the tiles of the smallest level up to which OpenSlide reads them when it opens a slide."""


@final
class SparseStream(io.RawIOBase):
    """A sparse file as a stream that fetches what is read."""

    def __init__(self, sparse: SparseFile) -> None:
        self._sparse, self._file = sparse, sparse.path.open("rb")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that any place can be read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Read to a buffer, and return how many bytes came."""
        place = self._file.tell()
        start = max(0, place - READ_BEHIND)
        self._sparse.need([start], [place - start + max(len(buffer), READ_AHEAD)])
        return self._file.readinto(buffer)

    def close(self) -> None:
        """Release the file."""
        self._file.close()
        super().close()


def fetch_before_opening(path: Path) -> None:
    """Fetch what must be there before a reader opens a copy of an object; nothing for other files.

    Raises UnreachableStore, UnreadableSlide or ReplacedSlide.
    """
    sparse = sparse_file(path)
    if sparse and not _is_read_in_parts(path, sparse):
        close_holes(path)


def _is_read_in_parts(path: Path, sparse: SparseFile) -> bool:
    """Tell whether whoever reads pixels of a file asks for their tiles first, and fetch all that is no tile."""
    import tifffile

    if sparse.object.size <= SMALL:
        return False
    sparse.need([0], [HEAD_BYTES])
    if not is_tiff(path):
        return False
    try:
        with SparseStream(sparse) as stream, tifffile.TiffFile(stream) as tiff:  # pyright: ignore[reportArgumentType]
            pages = _pages_with_tags(tiff)
            _fetch_smallest(pages, sparse)
            vendor = vendor_of_layout(path)
            return vendor in PLAIN and (vendor not in VENDORS or all(map(_is_asked_for, pages)))
    except DAMAGED_FILE:
        return False


def _pages_with_tags(tiff: "tifffile.TiffFile") -> "list[tifffile.TiffPage]":
    """Return all pages, also smaller ones below others, after reading every value of every tag."""
    from atlaspatch_core.slides.tiles.layout import all_pages

    pages = list(all_pages(tiff))
    for page in pages:
        for tag in page.tags:
            _ = tag.value
    return pages


def _is_asked_for(page: "tifffile.TiffPage") -> bool:
    """Tell whether the tiles of a page are looked at before OpenSlide reads them; strips are no levels to it."""
    from atlaspatch_core.slides.tiles.codecs import decoders

    return not page.is_tiled or (page.tiledepth == 1 and page.compression in LAX and bool(decoders(page)))


def _fetch_smallest(pages: "list[tifffile.TiffPage]", sparse: SparseFile) -> None:
    tiled = [page for page in pages if page.is_tiled]
    if tiled:
        smallest = min(tiled, key=lambda page: page.imagewidth * page.imagelength)
        if sum(smallest.databytecounts) <= LARGEST_HASHED:
            sparse.need(smallest.dataoffsets, smallest.databytecounts)
