"""What is to be done about one slide that came or changed."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.discovery.stability import SECONDS_UNCHANGED, is_stable, last_change
from atlaspatch_core.errors import AtlasPatchError, Unexpected
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.storage.store import Store


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
        failure = Unexpected(f"{source.stem}: {source.path.name} cannot be opened: {error!r}")
        failure.__cause__ = error
        return str(failure)
    return ""
