"""Which failures may be gone when the same work is tried again: storage that went away, memory that was taken, a slide
that was replaced."""

import errno
from collections.abc import Iterator

from atlaspatch_core.errors import ReplacedSlide

TRANSIENT_ERRNOS = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
        errno.ENETUNREACH, errno.ECONNRESET, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EAGAIN, errno.EBUSY, errno.EMFILE,
        errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT,
    }
)  # fmt: skip
"""Storage that is gone or full, and handles that are used up. A missing file or permission does not come by waiting."""

OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")
"""Names of classes, or of their bases: torch has its own, and is not imported to ask."""


def is_transient(error: BaseException) -> bool:
    """Tell whether an error, or anything that caused it, may be gone at the next attempt."""
    return any(_passes(cause) for cause in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then what caused it, then what caused that."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _passes(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in TRANSIENT_ERRNOS
    if isinstance(error, ReplacedSlide):
        return True
    return any(kind.__name__ in OUT_OF_MEMORY for kind in type(error).__mro__)
