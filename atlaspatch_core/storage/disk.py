"""Writing through libraries that do not bear a full disk, such that it is an error like any other."""

import errno
import io
import logging
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import OutputInUse
from atlaspatch_core.storage.hdf5_probe import check_metadata

log = logging.getLogger(__name__)

SECONDS_IN_USE = 10.0
"""How long a file is waited for whose lock another program holds."""
SECONDS_BETWEEN_TRIES = 0.2
MOST_UNSTORED_BYTES, MOST_BYTES_PER_BYTE = 2**28, 2048
"""What a dataset may claim, bytes, whatever it stores, and for each byte that it stores."""
FORMAT = ("v110", "v110")
"""Of what is written: the oldest whose metadata all carry checksums."""
UNLOCKABLE = re.compile(r"unable to lock file, errno = (\d+)")
"""How HDF5 says that it has no lock, with the number that the operating system gave."""
HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})
"""Numbers by which flock and LockFileEx say that somebody else has the lock."""


class Disk(io.RawIOBase):
    """A file that accepts everything and remembers the first error; what follows the error is dropped.

    HDF5 that could not write a part of a file cannot close it either, and crashes the process at its end (HDF5 2.0);
    torch says that a position is unexpected. So they are not told.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._place = 0
        self._end = os.fstat(handle).st_size
        self.error: BaseException | None = None
        """What the operating system said, or Ctrl-C at that very moment."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte, whether it was written or not."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        return self._place

    def tell(self) -> int:
        """Return the byte that comes next."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; what was never written is zeros."""
        rest = memoryview(buffer).cast("B")
        rest[:] = bytes(len(rest))
        self._try(lambda: self._each(rest, lambda part, place: os.preadv(self._handle, [part], place)))
        self._place += len(rest)
        return len(rest)

    def write(self, values: memoryview) -> int:  # type: ignore[override]
        """Write bytes, unless an earlier attempt failed."""
        rest = memoryview(values).cast("B")
        self._try(lambda: self._each(rest, lambda part, place: os.pwrite(self._handle, part, place)))
        self._place += len(rest)
        self._end = max(self._end, self._place)
        return len(rest)

    def truncate(self, size: int | None = None) -> int:
        """Give the file this size."""
        self._end = self._place if size is None else size
        self._try(lambda: os.ftruncate(self._handle, self._end))
        return self._end

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def _each(self, rest: memoryview, step: Callable[[memoryview, int], int]) -> None:
        done = 0
        while done < len(rest) and (more := step(rest[done:], self._place + done)):
            done += more

    def _try(self, action: Callable[[], None]) -> None:
        if self.error is None:
            try:
                action()
            except BaseException as error:  # raised again when HDF5 has closed the file
                self.error = error


@contextmanager
def writing(path: Path, mode: Literal["w", "r+"] = "w") -> Iterator[Disk]:
    """Open a file to write: a new one, or what lies there.

    Raises OSError at the end when the disk refused something; the file is then of no use.
    """
    with path.open("w+b" if mode == "w" else "r+b", buffering=0) as raw:
        disk = Disk(raw.fileno())
        try:
            yield disk
        finally:
            if disk.error is not None:  # all else that went wrong came of it
                raise disk.error


@contextmanager
def writing_hdf5(path: Path, mode: Literal["w", "r+"] = "w") -> Iterator[h5py.File]:
    """Open an HDF5 file to write: a new one, or what lies there. Raises OSError as ``writing`` does."""
    with writing(path, mode) as disk, open_file(disk, mode) as file:
        yield file


def open_file(source: Path | Disk, mode: Literal["r", "r+", "w"] = "r", *, locking: bool = True) -> h5py.File:
    """Return an open HDF5 file: every one that this package opens, but for those of other packages' own code.

    Without ``locking``, read-only drives and running writers do not mind. A file that another program has locked is
    waited for. What is written has checksums of its metadata, and can be read by HDF5 1.10 (2016) and later. Raises
    OSError for one that is damaged, OutputInUse for one that stays locked or cannot be locked.
    """
    if isinstance(source, Path):
        check_metadata(source)
    is_reported, until = False, monotonic() + SECONDS_IN_USE
    while True:
        try:
            return h5py.File(source, mode, locking=None if locking else False, libver=FORMAT)
        except OSError as error:
            refusal = lock_refusal(error)
            if refusal is None or isinstance(source, Disk):
                raise
            if refusal not in HELD:
                raise OutputInUse(_without_locks(source, refusal)) from error
            if monotonic() >= until:
                raise OutputInUse(f"{source.stem}: {source} is in use by another program; try again") from error
        if not is_reported:
            log.warning("%s: %s is in use; it is waited for, at most %g s", source.stem, source, SECONDS_IN_USE)
            is_reported = True
        sleep(SECONDS_BETWEEN_TRIES)


def read_whole(dataset: h5py.Dataset) -> NDArray[Any]:
    """Return all of a dataset. Raises OSError as ``check_stored`` does."""
    check_stored(dataset)
    return np.asarray(dataset[()])


def check_stored(dataset: h5py.Dataset) -> None:
    """Raise OSError for a dataset that claims far more than is stored, before memory is taken for it.

    HDF5 stores no chunk that nobody wrote, and gzip makes at most 1,032 bytes of one.
    """
    claimed, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if claimed > MOST_UNSTORED_BYTES + stored * MOST_BYTES_PER_BYTE:
        raise OSError(f"{dataset.name} claims {claimed:,} bytes and stores {stored:,}")


def lock_refusal(error: OSError) -> int | None:
    """Return the number that the operating system gave for a lock that HDF5 did not get; None for other errors."""
    match = UNLOCKABLE.search(str(error))
    if match:
        return int(match[1])
    return errno.EAGAIN if isinstance(error, BlockingIOError) else None


def _without_locks(path: Path, refusal: int) -> str:
    return (
        f"{path.stem}: {path} cannot be locked ({os.strerror(refusal)}), as on drives without locks; "
        "set HDF5_USE_FILE_LOCKING=FALSE and try again"
    )
