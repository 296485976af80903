"""What came into the slide folders since they were last looked through: which slides are whole, which are of no use.

A look is bounded: names are listed each time, but files are asked for their times, compared and opened only until a
deadline; the next look goes on there. The only memory is a ``Cursor``. Losing it costs one look through everything:
what is known stands in the slides' records.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from atlaspatch_core.discovery.slide_inspector import Arrival, ArrivalStatus, SlideInspector
from atlaspatch_core.discovery.sources import Discovery, SlideSource
from atlaspatch_core.texts import parse_json

LARGEST_SKEW = 600.0
"""Seconds by which the clock of a file server may be behind ours."""


EARLIER_NAMES = {"settled": "watermark", "held": "first_waiting"}
"""Of fields of cursors that are stored."""


@dataclass(frozen=True, slots=True)
class ArrivalCursor:
    """Up to where the folders were looked through; seconds since 1970."""

    watermark: float = 0.0
    """What changed before this was dealt with."""
    started: float = 0.0
    """When the look that is under way began; 0 when none is."""
    after: str = ""
    """Place of the last slide that it compared."""
    first_waiting: float = 0.0
    """Change of the earliest slide that it left waiting; 0 when there is none."""

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read back what ``text`` gave; a lost or strange one starts anew."""
        try:
            values: dict[str, Any] = parse_json(text or "{}")
            return cls(**{EARLIER_NAMES.get(name, name): value for name, value in values.items()})
        except (ValueError, TypeError, AttributeError):
            return cls()

    @property
    def text(self) -> str:
        """The cursor as JSON of some hundred characters."""
        return json.dumps(asdict(self))


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
    sources = [source for source in discovery.sources if source.stem in known_stems and source.place > cursor.after]
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
        after = source.place
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
