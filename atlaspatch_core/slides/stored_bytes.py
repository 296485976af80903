"""Bytes of a slide's file, wherever they are: what lacks of a copy of an object is fetched before it is read."""

import logging
import os
from pathlib import Path
from threading import Event, Thread
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.remote.sparse_file import sparse_file

log = logging.getLogger(__name__)

BYTES_A_STEP = 2**24
"""That are fetched ahead at a time: several requests travel at once, and the first tiles are there soon."""


@final
class StoredBytes:
    """Reads a file. Safe from several threads. Owns the open file: close it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._sparse = sparse_file(path)
        self._ahead: Thread | None = None
        self._closed = Event()

    def read(self, count: int, offset: int) -> bytes:
        """Return ``count`` bytes from ``offset`` on, fewer where the file ends. Raises as ``read_bytes`` does."""
        if self._sparse:
            self._sparse.need([offset], [count])
        return os.pread(self._file, count, offset)

    def need(self, offsets: ArrayLike, byte_counts: ArrayLike) -> None:
        """Have these bytes there, all of them at once, before they are read one by one; by whomever."""
        if self._sparse:
            self._sparse.need(offsets, byte_counts)

    def expect(self, offsets: ArrayLike, byte_counts: ArrayLike) -> None:
        """Begin to fetch bytes that will be read in this order; to be called once."""
        if self._sparse:
            places = np.asarray(offsets, np.int64).ravel(), np.asarray(byte_counts, np.int64).ravel()
            self._ahead = Thread(target=self._fetch, args=places, name="fetch", daemon=True)
            self._ahead.start()

    def _fetch(self, offsets: np.ndarray, byte_counts: np.ndarray) -> None:
        steps = np.flatnonzero(np.diff(np.cumsum(byte_counts) // BYTES_A_STEP, prepend=0)).tolist()
        try:
            for start, stop in zip([0, *steps], [*steps, len(offsets)], strict=True):
                if self._closed.is_set():
                    return
                self.need(offsets[start:stop], byte_counts[start:stop])
        except AtlasPatchError as error:  # whoever reads these bytes asks for them again, and is told
            log.debug("not fetched ahead: %s", error)

    def close(self) -> None:
        """Release the file; what is being fetched ahead is waited for."""
        self._closed.set()
        if self._ahead:
            self._ahead.join()
        os.close(self._file)
