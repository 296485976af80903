"""The slides of a project: what lies in its folders now, and what a run asks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.find import find_slides, find_slides_if_any
from atlaspatch_core.discovery.search import root_of
from atlaspatch_core.discovery.sections import SECONDS_A_LOOK
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import LostSlides, NoSlides, UnseenSlides
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.wording import format_count


@dataclass(frozen=True, slots=True)
class RunSlides:
    """The slides of one run."""

    sources: tuple[SlideSource, ...]
    """Those that were found, in the order asked for."""
    lost: tuple[tuple[str, str], ...] = ()
    """Stem and reason of those that cannot be told apart."""
    gone: tuple[tuple[str, str], ...] = ()
    """The same of those that are not there."""
    unseen: tuple[str, ...] = ()
    """Stems of those that may be there: a folder of the project cannot be looked into. It is not their fault."""
    why_unseen: str = ""
    """Which folder, and why it cannot."""

    def failures(self, step: OutputKey) -> Iterator[Outcome]:
        """Yield a failed outcome for every slide that is lost."""
        for stem, why in self.lost:
            yield Outcome(stem, step, Status.FAILED, why=why)

    def check_seen(self) -> None:
        """Raise LostSlides where slides may be there and were not seen."""
        if self.unseen:
            slides = format_count(len(self.unseen), "slide")
            raise LostSlides(
                f"{slides} of this run cannot be seen, and none has failed: {self.why_unseen}; mount the disk, and "
                "the run is asked for again"
            )


def find_batch(project: Project, stems: Sequence[str]) -> RunSlides:
    """Return the slides of these stems, and why some cannot be had."""
    try:
        discovery = find_slides(project, seconds=SECONDS_A_LOOK)
    except NoSlides as error:
        if isinstance(error, UnseenSlides) or not all(map(_is_there, project.slides.folders)):
            return RunSlides((), unseen=tuple(stems), why_unseen=str(error))
        return RunSlides((), gone=tuple((stem, f"{stem}: {error}") for stem in stems))
    by_stem = discovery.by_stem
    clashes = {clash.stem: str(clash.error) for clash in discovery.clashes}
    sources = tuple(by_stem[stem] for stem in stems if stem in by_stem)
    clashing = tuple((stem, clashes[stem]) for stem in stems if stem in clashes)
    missing_stems = [stem for stem in stems if stem not in by_stem and stem not in clashes]
    if discovery.unseen:
        why = "; ".join(unseen.why for unseen in discovery.unseen)
        return RunSlides(sources, clashing, unseen=tuple(missing_stems), why_unseen=why if missing_stems else "")
    return RunSlides(sources, clashing, gone=tuple((stem, _gone_reason(stem, project)) for stem in missing_stems))


def stems_in_folders(project: Project) -> set[str]:
    """Return the stems of all slides that lie in the project's folders now, also of those that share one."""
    return set(find_slides_if_any(project, seconds=SECONDS_A_LOOK).paths)


def _is_there(folder: Path) -> bool:
    """Tell whether a folder is there at all, or that in which a pattern begins; a drive may not be mounted."""
    return root_of(folder).exists()


def _gone_reason(stem: str, project: Project) -> str:
    folders = ", ".join(map(shown_path, project.slides.folders))
    return f"{stem}: its file is gone: no slide of this name in {folders}"
