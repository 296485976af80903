"""The slides of a project: what lies in its folders now, and what a run asks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atlaspatch_core.discovery import SlideSource, find_slides
from atlaspatch_core.errors import NoSlides
from atlaspatch_core.outcome import Outcome, Status, Step
from atlaspatch_core.project import Project


@dataclass(frozen=True, slots=True)
class Batch:
    """The slides of one run."""

    sources: tuple[SlideSource, ...]
    """Those that were found, in the order asked for."""
    lost: tuple[tuple[str, str], ...]
    """Stem and reason of those that were not."""

    def failures(self, step: Step) -> Iterator[Outcome]:
        """Yield a failed outcome for every slide that was not found."""
        for stem, why in self.lost:
            yield Outcome(stem, step, Status.FAILED, why=why)


def find_batch(project: Project, stems: Sequence[str]) -> Batch:
    """Return the slides of these stems, and why some cannot be had."""
    try:
        found = find_slides(project)
    except NoSlides as error:
        return Batch((), tuple((stem, f"{stem}: {error}") for stem in stems))
    by_stem = {source.stem: source for source in found.sources}
    clashes = {clash.stem: str(clash.error) for clash in found.clashes}
    sources = tuple(by_stem[stem] for stem in stems if stem in by_stem)
    lost = tuple((stem, clashes.get(stem) or _gone(stem, project)) for stem in stems if stem not in by_stem)
    return Batch(sources, lost)


def _gone(stem: str, project: Project) -> str:
    folders = ", ".join(str(folder) for folder in project.slides.folders)
    return f"{stem}: no slide of this name in {folders}; put the file back, or delete its partition"
