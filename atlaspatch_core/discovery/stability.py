"""Whether the files of a slide are at rest, or still being copied."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.discovery.sources import Discovery, SlideSource
from atlaspatch_core.slides.files import slide_files

SECONDS_UNCHANGED = 30.0
"""A file that changed later than this is still being copied, to somebody who can come back."""
SECONDS_RECENT = 5.0
"""A file that changed later than this is looked at twice by somebody who cannot."""
SECONDS_BETWEEN_LOOKS = 0.25
DAY = 86_400.0

States = tuple[tuple[str, int, int], ...]


def last_change(path: Path) -> float:
    """Return when any file of the slide was last written, renamed or touched, seconds since 1970. Raises OSError."""
    states = (file.stat() for file in slide_files(path))
    return max((max(state.st_mtime, state.st_ctime) for state in states), default=path.stat().st_mtime)


def is_stable(changed_at: float, now: float, seconds: float = SECONDS_UNCHANGED) -> bool:
    """Tell whether a change is long enough ago; a clock that is more than a day ahead is taken for wrong."""
    return now - changed_at >= seconds or now - changed_at < -DAY


def leave_copies(discovery: Discovery, wait: Callable[[float], None] = time.sleep) -> Discovery:
    """Return the slides that nobody is writing to; the others are left out, with the reason.

    A slide that changed less than 5 s ago is looked at again 0.25 s later, all of them together: it is still being
    copied when one of its files changed or came in between. A slide that was copied just before is not held up.
    """
    recent = [source for source in discovery.sources if is_recent(source)]
    if not recent:
        return discovery
    before = {source.path: states(source.path) for source in recent}
    wait(SECONDS_BETWEEN_LOOKS)
    copied = {source.path for source in recent if states(source.path) != before[source.path]}
    sources = tuple(source for source in discovery.sources if source.path not in copied)
    return replace(discovery, sources=sources, left_out=(*discovery.left_out, *map(still_copied, sorted(copied))))


def is_recent(source: SlideSource) -> bool:
    """Tell whether a slide changed in the last 5 s; one that cannot be looked at is not."""
    try:
        return not is_stable(last_change(source.path), time.time(), SECONDS_RECENT)
    except OSError:
        return False


def states(path: Path) -> States:
    """Return names, sizes and times of a slide's files; those that went away are left out."""
    return tuple(_states(slide_files(path)))


def _states(files: Iterable[Path]) -> Iterable[tuple[str, int, int]]:
    for file in files:
        try:
            state = file.stat()
        except OSError:
            continue
        yield str(file), state.st_size, state.st_mtime_ns


def still_copied(path: Path) -> LeftOut:
    """Return what to say of a slide that grows."""
    return LeftOut(path, f"{path} is still being copied; run again when it is whole")
