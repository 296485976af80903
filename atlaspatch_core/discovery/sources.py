"""Slides that were found and not opened yet, and how one is opened."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.cohorts import common_cohort
from atlaspatch_core.discovery.pictures import pictures_line
from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.discovery.usable_names import on_one_line
from atlaspatch_core.errors import ReplacedSlide, StemClash, UnreadableSlide
from atlaspatch_core.isolation.leases import isolates
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.isolated import open_isolated
from atlaspatch_core.slides.local_copy import copy_in_use, local_copy
from atlaspatch_core.slides.private_links import hide_target
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.sections import ALL, SeriesChoice, find_sections
from atlaspatch_core.slides.slide import Slide, stem_of

MOST_NAMED = 5
"""Things left out, and folders, that one sentence names."""


@dataclass(frozen=True, slots=True)
class SlideSource:
    """A slide that has not been opened: its file, or folder, and what the user says of it."""

    stem: str
    """That of the file, but for one of several sections of it."""
    path: Path
    mpp: float | None = None
    """µm per px of level 0 that the user states, or None."""
    mpp_source: str = ""
    local: Path | None = None
    """An equal copy on faster storage, which is read in its place; nothing that is kept names it."""
    copied_signature: str = field(default="", compare=False)
    """``file_signature`` of what was copied."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it is named and read, a clause each; a run warns of it."""
    series: SeriesChoice = None
    """Which image of the file it is; None: the largest. ``all``: its sections could not be told apart."""
    cohort: str = field(default="", compare=False)
    """Folder that it came from, as ``slides/kidney/2024``, or what the list of slides says; it decides no result."""

    @property
    def readable(self) -> Path:
        """Where the slide's pixels are read; of a placeholder its copy, which is made where there is none."""
        return self.local or local_copy(self.path)

    @property
    def place(self) -> str:
        """What sorts slides: the path, and within a file the number."""
        return str(self.path) if self.stem == stem_of(self.path) else f"{self.path}\0{self.series:08}"


@dataclass(frozen=True, slots=True)
class Clash:
    """Slides of one stem: they would write one output, so none of them is worked on."""

    stem: str
    paths: tuple[Path, ...]
    """Two or more, sorted."""
    cohorts: tuple[str, ...] = field(default=(), compare=False)
    """Theirs, sorted, each once."""

    @property
    def error(self) -> StemClash:
        """What to tell the user."""
        names = {path: shown_path(path) for path in self.paths}
        files = " and ".join(
            name if stem_of(path) == self.stem else f"an image of {name}" for path, name in names.items()
        )
        return StemClash(f"{self.stem}: {files} have one stem and would write one output; rename or move all but one")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found."""

    sources: tuple[SlideSource, ...]
    """Sorted by path, sections by number; every stem once."""
    clashes: tuple[Clash, ...] = ()
    """Sorted by stem."""
    left_out: tuple[LeftOut, ...] = ()
    """Folders that cannot be listed, links that lead nowhere, names that results cannot carry, slides of a list that
    are not there; sorted by path, which is printable."""
    results: tuple[Path, ...] = ()
    """Folders of results, whose pictures are no slides; sorted."""
    pictures: tuple[Path, ...] = ()
    """Pictures that lie beside slides, and are not taken for any; sorted."""

    @property
    def by_stem(self) -> dict[str, SlideSource]:
        """Stem to the slide that has it for itself."""
        return {source.stem: source for source in self.sources}

    @property
    def paths(self) -> dict[str, Path]:
        """Stem to where its slide lies; of files that share a stem, the first."""
        return {source.stem: source.path for source in self.sources} | {
            clash.stem: clash.paths[0] for clash in self.clashes
        }

    @property
    def not_searched(self) -> str:
        """One sentence about the folders of results, or an empty text."""
        count = len(self.results)
        shown = ", ".join(on_one_line(str(path)) for path in self.results[:MOST_NAMED]) + " …" * (count > MOST_NAMED)
        nouns = "folder of results is" if count == 1 else "folders of results are"
        return f"{count} {nouns} not searched for slides: {shown}" if count else ""

    @property
    def pictures_left_out(self) -> str:
        """One sentence about pictures beside slides, or an empty text."""
        return pictures_line(self.pictures, self.paths.values())

    @property
    def cohorts(self) -> dict[str, tuple[str, ...]]:
        """Stem to the cohort of a slide, or to those of slides that share it."""
        of_slides = {source.stem: (source.cohort,) for source in self.sources}
        return of_slides | {clash.stem: clash.cohorts for clash in self.clashes}

    @property
    def cohort_by_stem(self) -> dict[str, str]:
        """Stem to cohort; of slides that share a stem, the one that holds theirs."""
        return {stem: common_cohort(cohorts) for stem, cohorts in self.cohorts.items()}

    def of(self, stems: Collection[str]) -> Self:
        """Return the slides and clashes of these stems alone; what was left out stays."""
        return replace(
            self,
            sources=tuple(source for source in self.sources if source.stem in stems),
            clashes=tuple(clash for clash in self.clashes if clash.stem in stems),
        )

    @property
    def unseen(self) -> tuple[LeftOut, ...]:
        """Folders that could not be looked into: slides may lie there, so none is known to be gone."""
        return tuple(entry for entry in self.left_out if entry.is_folder)


def open_source(source: SlideSource, slides: Slides) -> Slide:
    """Open a slide as the project says, in a process of its own; raises what ``open_slide`` raises.

    Raises KilledReader where its library crashes; so does everything that the slide is asked for then.
    """
    hide_target(source.path)
    if not isolates():
        return open_source_here(source, slides)
    with ExitStack() as held:
        readable = source.local or held.enter_context(copy_in_use(source.path))
        here = source if readable == source.path else replace(source, local=readable)
        slide = open_isolated(source.stem, open_source_here, here, slides)
        slide.held.push(held.pop_all())
        return slide


def open_source_here(source: SlideSource, slides: Slides, **more: Any) -> Slide:
    """Open a slide in this process; ``more`` is what ``open_slide`` takes besides."""
    hide_target(source.path)
    if source.series == ALL:
        check_single(source, slides.reader)
    return open_slide(
        source.readable,
        mpp=source.mpp,
        mpp_source=source.mpp_source,
        mpp_keys=slides.scale_keys,
        reader=slides.reader,
        series=None if source.series == ALL else source.series,
        square_pixels=slides.square_pixels,
        stem=source.stem,
        **more,
    )


def replaced_slide(source: SlideSource) -> ReplacedSlide:
    """Return what to say of a slide whose files are not those that work on it began with."""
    return ReplacedSlide(
        f"{source.stem}: {shown_path(source.path)} was replaced, changed or removed while it was worked on, so that "
        f"what was read of it is not kept; run again when it is whole"
    )


def check_single(source: SlideSource, reader: str | None) -> None:
    """Raise UnreadableSlide for a file of several sections that were not told apart; raise what telling them raises."""
    if numbers := find_sections(source.readable, reader):
        raise UnreadableSlide(
            f"{source.stem}: the images {', '.join(map(str, numbers))} of {source.path.name} could not be told apart "
            f"when the slide was found; run again"
        )
