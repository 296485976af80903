"""What a file holds: its bytes' hashes, and what object stores call them."""

import hashlib
import os
import re
from dataclasses import dataclass
from typing import IO, Self

from atlaspatch_core.errors import WrongObject
from atlaspatch_core.remote.store import RemoteObject, read_bytes

MEBIBYTE = 2**20
LEAST_PART = 8 * MEBIBYTE
MOST_PARTS = 9_000
"""S3 takes 10,000."""
OF_MD5 = re.compile(r"[0-9a-f]{32}(-\d+)?")
"""A tag that is an MD5 hash, of the object or of those of its parts; where a store encrypts, it is another number."""


@dataclass(frozen=True, slots=True)
class LocalState:
    """Which file lies at a path: results are replaced by others, none is written twice."""

    inode: int
    size: int
    """Bytes."""
    mtime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Self:
        """Return the state of a file."""
        return cls(stat.st_ino, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a file."""

    size: int
    sha256: str
    tags: frozenset[str]
    """What S3 calls the object, sent in one part or in several."""

    def is_object(self, one: RemoteObject) -> bool:
        """Tell whether an object is known to hold these bytes."""
        return one.size == self.size and one.etag.strip('"') in self.tags


def part_bytes(size: int) -> int:
    """Return how large the parts are in which a file of ``size`` bytes travels."""
    return max(LEAST_PART, -(-size // MOST_PARTS // MEBIBYTE) * MEBIBYTE)


def read_content(file: IO[bytes]) -> FileContent:
    """Return what an open file holds. Raises OSError."""
    step = part_bytes(os.fstat(file.fileno()).st_size)
    size, sha256, md5, parts = 0, hashlib.sha256(), hashlib.md5(usedforsecurity=False), list[bytes]()
    file.seek(0)
    while part := file.read(step):
        size += len(part)
        sha256.update(part)
        md5.update(part)
        parts.append(hashlib.md5(part, usedforsecurity=False).digest())
    of_parts = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return FileContent(size, sha256.hexdigest(), frozenset({md5.hexdigest(), f"{of_parts}-{len(parts)}"}))


def check_object(one: RemoteObject, content: FileContent) -> None:
    """Raise WrongObject where an object is not what was sent.

    Its size counts, and its tag where that is an MD5 hash. One that is another number is no proof, as stores that
    encrypt have such: then the object is read.
    """
    if content.is_object(one):
        return
    if one.size != content.size:
        raise WrongObject(f"{one.place.url} has {one.size:,} bytes and its file {content.size:,}; run again")
    if OF_MD5.fullmatch(one.etag.strip('"')) and object_sha256(one) != content.sha256:
        raise WrongObject(f"{one.place.url} does not hold the bytes of its file (tag {one.etag}); run again")


def object_sha256(one: RemoteObject) -> str:
    """Return the hash of an object, which is read. Raises as ``read_bytes`` does."""
    digest = hashlib.sha256()
    for start in range(0, one.size, LEAST_PART):
        digest.update(read_bytes(one, start, min(start + LEAST_PART, one.size)))
    return digest.hexdigest()
