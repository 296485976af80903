"""Slides that are unlike the others of their cohort, each with the number that says so."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from atlaspatch_core.operations.report.embeddings import SAME, EmbeddingMap
from atlaspatch_core.operations.report.values import SlideSummary
from atlaspatch_core.tissue.quality import QualitySpec, failed, judge_quality

FAR = 3.5
"""Modified z-score of an outlier: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993)."""
SCALE = 0.6745
"""Their factor: the median absolute deviation of a normal distribution, in standard deviations."""
LEAST_DIFFERENCE = 0.05
"""Share of the median by which an outlier differs at least: where nearly all values agree, a tiny one is none."""
LEAST_SLIDES = 8
"""Slides below which a median says little of what is usual."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """One reason to look at a slide."""

    name: str
    """What is odd: a number's name, ``quality`` or ``same_slide``."""
    score: float
    """The larger, the sooner to look."""
    text: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of many slides."""

    name: str
    words: str
    """The name for people."""
    values: Mapping[str, float]
    """Stem to value; slides without are left out."""


def list_measures(slides: Sequence[SlideSummary], maps: Sequence[EmbeddingMap]) -> tuple[Measure, ...]:
    """Return the numbers by which slides are compared."""
    return tuple(measure for measure in _measures(slides, maps) if measure.values)


def _measures(slides: Sequence[SlideSummary], maps: Sequence[EmbeddingMap]) -> Iterator[Measure]:
    share = {slide.stem: float(slide.mask["tissue_share"]) for slide in slides if "tissue_share" in slide.mask}
    yield Measure("tissue_share", "tissue share of the slide", share)
    for geometry in dict.fromkeys(name for slide in slides for name in slide.patches):
        counts = {slide.stem: float(slide.patches[geometry]) for slide in slides if geometry in slide.patches}
        yield Measure(f"patches {geometry}".strip(), f"patches {geometry}".strip(), counts)
    yield Measure("mpp", "µm per px", {slide.stem: slide.info.mpp for slide in slides if slide.info})
    for each in maps:
        yield Measure(f"norm {each.step}", f"length of embedding {each.name}", each.norms)
        if each.nearest:
            far = {stem: 1 - others[0].cosine for stem, others in each.nearest.items() if others}
            yield Measure(f"distance {each.step}", f"distance to the nearest slide by {each.name}", far)


def find_outliers(
    slides: Sequence[SlideSummary], measures: Iterable[Measure], maps: Iterable[EmbeddingMap], quality: QualitySpec
) -> dict[str, tuple[Outlier, ...]]:
    """Return stem to reasons, the gravest first; slides without a reason are left out."""
    outliers: dict[str, list[Outlier]] = {}
    for slide in slides:
        for finding in failed(judge_quality(slide.mask, quality)):
            outliers.setdefault(slide.stem, []).append(Outlier("quality", 100.0, finding.text))
    for stem, outlier in (*_alike(maps), *(pair for measure in measures for pair in far_out(measure))):
        outliers.setdefault(stem, []).append(outlier)
    return {stem: tuple(sorted(reasons, key=lambda outlier: -outlier.score)) for stem, reasons in outliers.items()}


def far_out(measure: Measure) -> Iterator[tuple[str, Outlier]]:
    """Yield the slides whose value lies far from the median, by the median absolute deviation.

    Where more than half of the slides have one value, the mean absolute deviation takes its place.
    """
    if len(measure.values) < LEAST_SLIDES:
        return
    values = np.array(list(measure.values.values()))
    median = float(np.median(values))
    away = np.abs(values - median)
    spread = float(np.median(away)) / SCALE or float(away.mean()) * 1.253314
    if spread <= 1e-9 * max(1.0, abs(median)):
        return
    for stem, value in measure.values.items():
        score = abs(value - median) / spread
        if score > FAR and abs(value - median) > LEAST_DIFFERENCE * abs(median):
            side = "more" if value > median else "less"
            text = f"{measure.words} {value:.4g}, {side} than is usual here (median {median:.4g})"
            yield stem, Outlier(measure.name, min(score, 99.0), text)


def _alike(maps: Iterable[EmbeddingMap]) -> Iterator[tuple[str, Outlier]]:
    for each in maps:
        for stem, others in each.nearest.items():
            same = [other.stem for other in others if other.cosine >= SAME]
            if same:
                yield stem, Outlier("same_slide", 100.0, f"embedding equal to that of {', '.join(same)} ({each.name})")
