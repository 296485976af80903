"""A slide of any size as one libvips image: strips of rows are read as they are needed, and never twice.

The strips travel as an uncompressed PNG, the one format that libvips reads from a stream of unknown origin in every
build; its checksums end a stream that was cut short as an error, not as black pixels.
"""

import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.convert.vips import vips
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.pipeline.prefetch import prefetch
from atlaspatch_core.slides.slide import Region, Slide

STRIP_BYTES = 48 * 2**20
"""A strip has at least ``LEAST_ROWS``, and otherwise not more than this."""
LEAST_ROWS, MOST_ROWS = 256, 1024
CHUNK_ROWS = 16
"""Rows that are copied at once on their way to libvips."""
BLOCK = 2048
"""Width of what one thread reads at once, px."""
THREADS = min(4, usable_cores())
"""Blocks read at once. Speed only."""


def strips(slide: Slide) -> Generator[NDArray[np.uint8]]:
    """Yield level 0 from top to bottom, each strip (rows, width, 3)."""
    info = slide.info
    rows = STRIP_BYTES // (info.width * 3 * LEAST_ROWS) * LEAST_ROWS
    rows = min(MOST_ROWS, max(LEAST_ROWS, rows))
    with ThreadPoolExecutor(THREADS, "strip") as pool:
        for y in range(0, info.height, rows):
            strip = np.empty((min(rows, info.height - y), info.width, 3), np.uint8)
            list(pool.map(_reader(slide, y, strip), range(0, info.width, BLOCK)))
            yield strip


def _reader(slide: Slide, y: int, strip: NDArray[np.uint8]) -> Callable[[int], None]:
    """Return what reads one block into its place."""

    def read(x: int) -> None:
        width = min(BLOCK, strip.shape[1] - x)
        strip[:, x : x + width] = slide.read_region(Region(x, y, 0, width, len(strip)))

    return read


def as_png(strips: Iterator[NDArray[np.uint8]], width: int, height: int) -> Generator[bytes]:
    """Yield the parts of an uncompressed PNG file."""
    yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    deflate = zlib.compressobj(0)
    for strip in strips:
        for first in range(0, len(strip), CHUNK_ROWS):
            some = strip[first : first + CHUNK_ROWS]
            rows = np.zeros((len(some), 1 + 3 * width), np.uint8)  # each row begins with its filter: 0, none
            rows[:, 1:] = some.reshape(len(some), -1)
            yield _chunk(b"IDAT", deflate.compress(rows.data))
    yield _chunk(b"IDAT", deflate.flush()) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


class ByteStream:
    """Hands parts to libvips in the sizes that it asks for, and remembers what went wrong while they were made."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._remainder = memoryview(b"")
        self.error: BaseException | None = None
        """libvips is told of the end only; whoever started it raises this."""

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; none at the end, or when the next part cannot be made."""
        try:
            while not len(self._remainder):
                self._remainder = memoryview(next(self._parts))
        except StopIteration:
            return b""
        except BaseException as error:  # the caller is C, which no exception can cross
            self.error = error
            return b""
        data, self._remainder = self._remainder[:size], self._remainder[size:]
        return bytes(data)


@contextmanager
def slide_image(slide: Slide, check: Callable[[], None]) -> Iterator[Any]:
    """Give a libvips image of level 0, to be read once from top to bottom; a few strips are in memory at a time.

    ``check`` is called with every strip and may raise. What reading raises is raised when the context is left.
    """
    width, height = slide.info.width, slide.info.height
    with closing(prefetch(_checked(strips(slide), check), lambda strip: strip.nbytes, STRIP_BYTES)) as prefetched:
        stream = ByteStream(as_png(prefetched, width, height))
        source = vips().SourceCustom()
        source.on_read(stream.read)
        try:
            yield vips().Image.new_from_source(source, "", access="sequential", fail_on="error")
        except vips().Error as error:
            raise (stream.error or error) from error
        if stream.error:
            raise stream.error


def _checked(strips: Generator[NDArray[np.uint8]], check: Callable[[], None]) -> Generator[NDArray[np.uint8]]:
    with closing(strips):
        for strip in strips:
            check()
            yield strip
