"""A result is kept only while the files of its slide are those that were identified: one rule for all that is kept."""

from dataclasses import dataclass, field

from atlaspatch_core.discovery.sources import SlideSource, replaced_slide
from atlaspatch_core.errors import ReplacedSlide, UnreadableSlide
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.watch import SlideWatch
from atlaspatch_core.storage.records import SlideRecord
from atlaspatch_core.storage.store import Store


@dataclass(slots=True)
class SourceGuard:
    """Looks at the files of one slide again before something that was made of it is kept."""

    source: SlideSource
    store: Store
    is_replaced: bool = False
    """Whether the slide was seen to be another one."""
    _watch: SlideWatch | None = field(default=None, init=False)
    _identity: Identity | None = field(default=None, init=False)

    def begin(self) -> None:
        """Take note of the files as they are now. Raises UnreadableSlide where they cannot be looked at."""
        try:
            self._watch = SlideWatch(self.source.path)
        except OSError as error:
            raise UnreadableSlide(
                f"{self.source.stem}: {shown_path(self.source.path)} cannot be read ({error.strerror}); check that it "
                f"exists and is readable"
            ) from error

    def expect(self, record: SlideRecord) -> None:
        """Take note of who the slide is: its files may be touched as long as their content stays."""
        self._identity = record.identity
        if self._watch:
            self._watch.expect_content(record.content, full_hash=record.full_hash)

    def check(self) -> None:
        """Raise ReplacedSlide where the files are not those that were identified."""
        if self._watch and self._watch.is_changed():
            raise replaced_slide(self.source)

    def replacement(self, error: Exception) -> ReplacedSlide | None:
        """Return what to say of an ``error`` where the slide was replaced: whatever went wrong may have come of that.

        The next run reads its content anew then: size and time of change may be those of the former file.
        """
        if not isinstance(error, ReplacedSlide) and not (self._watch and self._watch.is_changed()):
            return None
        self.is_replaced = True
        if self._identity:
            self.store.forget_slide(self.source.stem, self._identity)
        return replaced_slide(self.source)
