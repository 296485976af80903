"""What came into the slide folders since they were last looked through: which slides are whole, which are of no use.

A look is bounded: names are listed each time, but files are asked for their times, compared and opened only until a
deadline; the next look goes on there. The only memory is a ``Cursor``. Losing it costs one look through everything:
what is known stands in the slides' records.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.find import Discovery, SlideSource, open_source
from atlaspatch_core.discovery.stability import SECONDS_UNCHANGED, is_stable, last_change
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.storage.store import Store

LARGEST_SKEW = 600.0
"""Seconds by which the clock of a file server may be behind ours."""


EARLIER_NAMES = {"settled": "watermark", "held": "first_waiting"}
"""Of fields of cursors that are stored."""


class ArrivalStatus(StrEnum):
    """What is to be done about a slide that came or changed."""

    READY = "ready"
    """At rest, opens, and differs from what is known: to be processed."""
    WAITING = "waiting"
    """Still being copied, or a run is on its way."""
    KNOWN = "known"
    """Nothing changed since it was last looked at, or refused."""
    REFUSED = "refused"
    """At rest and of no use, for a reason."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One slide that was looked at."""

    stem: str
    fate: ArrivalStatus
    changed_at: float
    """When a file of the slide, or the table of mpp, last changed, seconds since 1970."""
    why: str = ""
    """Why it was refused: one sentence."""
    version: str = ""
    """Changes with the files and the stated mpp; empty while it is WAITING."""


@dataclass(frozen=True, slots=True)
class ArrivalCursor:
    """Up to where the folders were looked through; seconds since 1970."""

    watermark: float = 0.0
    """What changed before this was dealt with."""
    started: float = 0.0
    """When the look that is under way began; 0 when none is."""
    after: str = ""
    """Path of the last slide that it compared."""
    first_waiting: float = 0.0
    """Change of the earliest slide that it left waiting; 0 when there is none."""

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read back what ``text`` gave; a lost or strange one starts anew."""
        try:
            values: dict[str, Any] = json.loads(text or "{}")
            return cls(**{EARLIER_NAMES.get(name, name): value for name, value in values.items()})
        except (ValueError, TypeError, AttributeError):
            return cls()

    @property
    def text(self) -> str:
        """The cursor as JSON of some hundred characters."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class ArrivalState:
    """What is already known, by stem."""

    slides: Collection[str]
    """Slides that were asked for, or refused, before."""
    again: Collection[str] = frozenset()
    """Slides to compare whatever their times say: they were away, shared their stem, or no run ever looked at them."""
    running: Callable[[], Collection[str]] = frozenset
    """Returns the slides of runs that have not ended; asked at most once."""
    refused: Callable[[str], str | None] = lambda _: None
    """Returns the version at which a slide was refused, empty where that is not known; None where it was not."""


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What one look found."""

    arrivals: tuple[Arrival, ...]
    cursor: ArrivalCursor
    """Where the next look begins."""

    def of(self, fate: ArrivalStatus) -> tuple[Arrival, ...]:
        """Return the slides of one fate."""
        return tuple(arrival for arrival in self.arrivals if arrival.fate is fate)


@dataclass(slots=True)
class SlideInspector:
    """Looks at slides one by one. Raises nothing for a slide: what is wrong with it is its fate."""

    store: Store
    state: ArrivalState
    now: Callable[[], float]
    seconds_stable: float = SECONDS_UNCHANGED
    table_changed_at: float = 0.0
    """When the table of mpp last changed."""
    slides: Slides = field(default_factory=Slides)
    """How slides are opened."""
    _running: Collection[str] | None = None

    def inspect(self, source: SlideSource, watermark: float = 0.0) -> Arrival | None:
        """Return what is to be done about a slide; None where nothing changed after ``settled``."""
        try:
            changed_at = max(last_change(source.path), self.table_changed_at)
            if self._is_old(source.stem, changed_at, watermark):
                return None
            if not is_stable(changed_at, self.now(), self.seconds_stable) or self._is_running(source.stem):
                return Arrival(source.stem, ArrivalStatus.WAITING, changed_at)
            return self._compare(source, changed_at, version_of(source))
        except OSError:  # it went away while it was looked at
            return Arrival(source.stem, ArrivalStatus.WAITING, self.now())

    def _is_old(self, stem: str, changed_at: float, watermark: float) -> bool:
        return stem in self.state.slides and changed_at <= watermark and stem not in self.state.again

    def _is_running(self, stem: str) -> bool:
        if stem not in self.state.slides:
            return False
        if self._running is None:
            self._running = self.state.running()
        return stem in self._running

    def _compare(self, source: SlideSource, changed_at: float, version: str) -> Arrival:
        if source.stem in self.state.slides:
            refused = self.state.refused(source.stem)
            if version == (self._recorded(source.stem) if refused is None else refused):
                return Arrival(source.stem, ArrivalStatus.KNOWN, changed_at, version=version)
        why = refusal_reason(source, self.slides)
        return Arrival(source.stem, ArrivalStatus.REFUSED if why else ArrivalStatus.READY, changed_at, why, version)

    def _recorded(self, stem: str) -> str:
        try:
            record = self.store.read_record(stem).slide
        except AtlasPatchError:
            return ""
        return f"{record.signature} {record.stated_mpp}" if record else ""


@dataclass(slots=True)
class Budget:
    """How much one look may do, and what it found so far."""

    late: Callable[[], bool]
    """Tells whether time is up."""
    most: int
    """READY slides to find."""
    arrivals: list[Arrival] = field(default_factory=list)
    ready: int = 0

    @property
    def spent(self) -> bool:
        """Whether the look has to end."""
        return self.ready >= self.most or self.late()

    def add(self, arrival: Arrival) -> None:
        """Keep what was found."""
        self.arrivals.append(arrival)
        self.ready += arrival.fate is ArrivalStatus.READY


def scan_arrivals(discovery: Discovery, inspector: SlideInspector, cursor: ArrivalCursor, budget: Budget) -> FolderScan:
    """Look at new slides, then at known ones where the last look ended, until the budget is spent.

    What is left out is found by the next look.
    """
    known_stems = inspector.state.slides
    for source in discovery.sources:
        if source.stem in known_stems:
            continue
        if budget.spent:
            return FolderScan(tuple(budget.arrivals), cursor)
        if arrival := inspector.inspect(source):
            budget.add(arrival)
    sources = [source for source in discovery.sources if source.stem in known_stems and str(source.path) > cursor.after]
    return _compare_known(sources, inspector, cursor, budget)


def _compare_known(
    sources: Sequence[SlideSource], inspector: SlideInspector, cursor: ArrivalCursor, budget: Budget
) -> FolderScan:
    cursor, after = cursor if cursor.started else replace(cursor, started=inspector.now()), cursor.after
    for source in sources:
        if budget.spent:
            return FolderScan(tuple(budget.arrivals), replace(cursor, after=after))
        if arrival := inspector.inspect(source, cursor.watermark):
            budget.add(arrival)
            cursor = _note_waiting(cursor, arrival)
        after = str(source.path)
    return FolderScan(tuple(budget.arrivals), _finish_scan(cursor, inspector.seconds_stable))


def _note_waiting(cursor: ArrivalCursor, arrival: Arrival) -> ArrivalCursor:
    """Keep a slide that waits from being taken for settled."""
    if arrival.fate is not ArrivalStatus.WAITING or 0 < cursor.first_waiting <= arrival.changed_at:
        return cursor
    return replace(cursor, first_waiting=arrival.changed_at)


def _finish_scan(cursor: ArrivalCursor, seconds_stable: float) -> ArrivalCursor:
    """Return the cursor after a look through everything."""
    safe = cursor.started - seconds_stable - LARGEST_SKEW
    before_waiting = cursor.first_waiting - 1 if cursor.first_waiting else safe
    return ArrivalCursor(watermark=max(cursor.watermark, min(safe, before_waiting)))


def version_of(source: SlideSource) -> str:
    """Return a text that changes with the slide's files and with what the user states of them. Raises OSError."""
    return f"{file_signature(source.path)} {source.mpp}"


def refusal_reason(source: SlideSource, slides: Slides) -> str:
    """Return why a slide cannot be used, or an empty text: it is opened, no pixel is read."""
    try:
        open_source(source, slides).close()
    except AtlasPatchError as error:
        return str(error)
    except Exception as error:  # a reader's library may raise anything for a file that is broken
        return f"{source.stem}: {source.path.name} cannot be opened: {error!r}"
    return ""
