"""Memory that two processes share, without a name: when both are gone, however they ended, nothing is left of it."""

import mmap
import os
import tempfile
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

SMALLEST = 2**16
"""Bytes of the smallest block: less is sent as it is."""
GIVE_BACK = getattr(mmap, "MADV_REMOVE", None)
"""Advice by which the kernel takes the memory of a block back; systems without it keep it until the process ends."""


def open_shared_memory() -> int:
    """Return the descriptor of memory that grows; no file system has to have room for it, as ``/dev/shm`` would."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("atlaspatch", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """Where a block lies in the shared memory."""

    offset: int
    size: int
    """Bytes, as they are mapped."""
    byte_count: int
    """Bytes that are written."""


@final
class SpareBlocks:
    """Blocks that are written again and again, so that the kernel fills them with zeros once."""

    def __init__(self) -> None:
        self.blocks: list[SharedBlock] = []
        self.is_open = True


@dataclass(slots=True, eq=False)
class SharedBlock:
    """A piece of the shared memory, mapped by the process that writes it."""

    place: BlockPlace
    memory: mmap.mmap
    spare: SpareBlocks | None = None
    """Where it waits to be written again; None: the kernel takes it back."""

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return the block, or its beginning, as an array."""
        return np.frombuffer(self.memory, np.uint8, int(np.prod(shape))).reshape(shape)


@dataclass(slots=True)
class BlockAllocator:
    """Gives out blocks of the shared memory, and takes back those that the other process has read. For one thread."""

    descriptor: int
    _end: int = 0
    _holes: dict[int, list[int]] = field(default_factory=dict)
    """Size to the offsets of blocks that nobody uses."""
    _lent: dict[int, SharedBlock] = field(default_factory=dict)
    """Offset to a block that somebody uses."""

    def allocate(self, byte_count: int, spare: SpareBlocks | None = None) -> SharedBlock:
        """Return a block of at least so many bytes, one of the ``spare`` ones where there is one."""
        size = max(SMALLEST, 1 << (byte_count - 1).bit_length())
        if spare and spare.blocks and spare.blocks[-1].place.size == size:
            block = spare.blocks.pop()
        else:
            block = self._map(BlockPlace(self._place(size), size, byte_count), spare)
        self._lent[block.place.offset] = block
        return block

    def release(self, offset: int) -> None:
        """Take back a block that was read."""
        block = self._lent.pop(offset)
        if block.spare and block.spare.is_open:
            block.spare.blocks.append(block)
        else:
            self._give_back(block)

    def close_spare(self, spare: SpareBlocks) -> None:
        """Give back the spare blocks, and those that are lent once they come back."""
        spare.is_open = False
        while spare.blocks:
            self._give_back(spare.blocks.pop())

    def _place(self, size: int) -> int:
        """Return the offset of a block that nobody uses."""
        if holes := self._holes.get(size):
            return holes.pop()
        offset = self._end
        try:
            os.ftruncate(self.descriptor, offset + size)
        except (OSError, OverflowError) as error:
            raise MemoryError(f"Unable to allocate {size / 2**30:.3g} GiB of shared memory") from error
        self._end = offset + size
        return offset

    def _map(self, place: BlockPlace, spare: SpareBlocks | None) -> SharedBlock:
        return SharedBlock(place, map_block(self.descriptor, place), spare)

    def _give_back(self, block: SharedBlock) -> None:
        if GIVE_BACK is not None:
            block.memory.madvise(GIVE_BACK)
        self._holes.setdefault(block.place.size, []).append(block.place.offset)


def map_block(descriptor: int, place: BlockPlace) -> mmap.mmap:
    """Return a block of the shared memory, mapped into this process. Raises MemoryError."""
    try:
        return mmap.mmap(descriptor, place.size, offset=place.offset)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"Unable to allocate {place.size / 2**30:.3g} GiB of shared memory") from error
