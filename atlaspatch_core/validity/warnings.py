"""What is odd about slides as they are stored: the warnings that their outcomes had, told again without any work."""

from collections.abc import Collection, Container, Iterator, Mapping

from atlaspatch_core.storage.records import PICTURES, PLACEMENT, StepNotes
from atlaspatch_core.storage.slide_index import IndexedMask, SlideIndex
from atlaspatch_core.tissue.contours import polygons_fingerprint
from atlaspatch_core.tissue.quality import QualitySpec, failed, judge_quality
from atlaspatch_core.tissue.quality_survey import OF_SLIDE
from atlaspatch_core.validity.rules import is_automatic
from atlaspatch_core.validity.stored import Stored

NO_TISSUE = polygons_fingerprint(())


def without_patches(geometry: str) -> str:
    """Return what is said of a geometry that gives a slide no patch though it has tissue."""
    of_geometry = f" of {geometry}" if geometry else ""
    return f"no patch{of_geometry} is kept; take smaller patches, or a lower least tissue share"


def stored_warnings(
    index: SlideIndex, stems: Collection[str], bounds: QualitySpec, stored: Stored
) -> dict[str, tuple[str, ...]]:
    """Return stem to warnings of those of ``stems`` that have some, each warning once; ``stored`` is what there is."""
    fingerprints = {str(step): of_step for step, of_step in stored.fingerprints.items()}
    warnings = {
        stem: tuple(
            dict.fromkeys(
                [
                    *_of_numbers(stem, index, bounds, stored.without_patches),
                    *_noted(stem, index.slides[stem].step_notes, fingerprints),
                ]
            )
        )
        for stem in index.slides
        if stem in stems
    }
    return {stem: texts for stem, texts in warnings.items() if texts}


def _noted(stem: str, notes: Mapping[str, StepNotes], fingerprints: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield what runs noted of outputs that are still the same."""
    for name, of_step in notes.items():
        if fingerprints.get(name.removesuffix(PICTURES).removesuffix(PLACEMENT), {}).get(stem) == of_step.fingerprint:
            yield from of_step.texts


def _of_numbers(stem: str, index: SlideIndex, bounds: QualitySpec, bare: Mapping[str, Container[str]]) -> Iterator[str]:
    """Yield what follows from what is stored of the slide: also of results of earlier versions."""
    slide, polygons = index.slides[stem], index.polygons.get(stem)
    yield from slide.notes
    yield from (finding.text for finding in failed(judge_quality(_numbers(slide.mask, polygons), bounds)))
    if polygons not in (None, NO_TISSUE):
        yield from (without_patches(geometry) for geometry, stems in bare.items() if stem in stems)


def _numbers(mask: IndexedMask | None, polygons: str | None) -> Mapping[str, float]:
    """Return the numbers that hold: of outlines that a person drew since, those of the slide whatever its mask."""
    if mask is None or polygons is None:
        return {}
    if is_automatic(mask, polygons):
        return mask.numbers
    return {name: mask.numbers[name] for name in OF_SLIDE if name in mask.numbers}
