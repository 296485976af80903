"""What is odd about slides as they are stored: the warnings that their outcomes had, told again without any work."""

from collections.abc import Collection, Iterator, Mapping

from atlaspatch_core.storage.slide_index import IndexedSlide
from atlaspatch_core.tissue.quality import QualitySpec, failed, judge_quality


def without_patches(geometry: str) -> str:
    """Return what is said of a geometry that gives a slide no patch though it has tissue."""
    of_geometry = f" of {geometry}" if geometry else ""
    return f"no patch{of_geometry} is kept; take smaller patches, or a lower least tissue share"


def stored_warnings(
    slides: Mapping[str, IndexedSlide], bounds: QualitySpec, bare: Mapping[str, Collection[str]]
) -> dict[str, tuple[str, ...]]:
    """Return stem to warnings of each slide that has some; ``bare`` is geometry to the slides without patches."""
    told = {stem: tuple(_warnings(stem, slide, bounds, bare)) for stem, slide in slides.items()}
    return {stem: texts for stem, texts in told.items() if texts}


def _warnings(
    stem: str, slide: IndexedSlide, bounds: QualitySpec, bare: Mapping[str, Collection[str]]
) -> Iterator[str]:
    yield from slide.notes
    numbers = slide.mask.numbers if slide.mask else {}
    yield from (finding.text for finding in failed(judge_quality(numbers, bounds)))
    if numbers.get("fragments", 1):
        yield from (without_patches(geometry) for geometry, stems in bare.items() if stem in stems)
