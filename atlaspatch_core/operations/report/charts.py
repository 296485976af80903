"""Charts as numbers: where bars and points stand in a drawing of given size; the template makes SVG of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from atlaspatch_core.operations.report.embeddings import EmbeddingMap
from atlaspatch_core.operations.report.outliers import Measure

WIDTH, HEIGHT = 320.0, 120.0
"""Of a histogram, units of its drawing."""
MOST_BINS = 24
SIDE, MARGIN = 640.0, 24.0
"""Of the map of embeddings, and its empty border."""
LARGEST_DOT, SMALLEST_DOT, DOTS_OF_LARGEST = 6.0, 2.0, 600
"""Radius of the dots of a map, and how many slides have dots of the largest; many have smaller ones."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram."""

    x: float
    y: float
    width: float
    height: float
    count: int
    label: str
    """What the bar stands for: a range, or a name."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How one number is distributed."""

    title: str
    bars: tuple[Bar, ...]
    least: str
    most: str
    summary: str
    """Median, range and number of slides, in words."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many slides have one label."""

    label: str
    count: int
    share: float
    """Of the most frequent one."""


@dataclass(frozen=True, slots=True)
class Point:
    """A slide on the map."""

    stem: str
    x: float
    y: float


def histogram(measure: Measure) -> Histogram:
    """Return bars of equal width over the range of the values; one bar where all values are equal."""
    values = np.array(list(measure.values.values()))
    low, high = float(values.min()), float(values.max())
    bins = 1 if low == high else min(MOST_BINS, max(4, int(np.ceil(np.sqrt(len(values))))))
    counts, edges = np.histogram(values, bins, (low, high) if low < high else (low - 0.5, high + 0.5))
    ranges = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)) if low < high else [(low, high)]
    bars = tuple(_bar(index, bins, int(counts[index]), int(counts.max()), *ranges[index]) for index in range(bins))
    median = float(np.median(values))
    summary = f"{len(values)} slides, median {text(median)}, from {text(low)} to {text(high)}"
    return Histogram(measure.words, bars, text(low), text(high), summary)


def _bar(index: int, bins: int, count: int, most: int, low: float, high: float) -> Bar:
    width, height = WIDTH / bins, HEIGHT * count / most
    label = text(low) if low == high else f"{text(low)} to {text(high)}"
    return Bar(index * width + 1, HEIGHT - height, max(1.0, width - 2), height, count, label)


def shares(labels: Iterable[str]) -> tuple[Share, ...]:
    """Return how often each label occurs, most often first."""
    counted = Counter(labels).most_common()
    return tuple(Share(label, count, count / counted[0][1]) for label, count in counted)


def points(each: EmbeddingMap) -> tuple[Point, ...]:
    """Return where the slides stand on the map, x to the right and y upwards, both at one scale.

    They are drawn one over the other, so that many are in a drawn order, always the same: no part of a cohort lies on
    top of the others because of its names.
    """
    reach = float(np.abs(each.points).max()) if len(each.points) else 0.0
    scale = (SIDE / 2 - MARGIN) / reach if reach else 0.0
    placed = SIDE / 2 + each.points * scale * np.array([1.0, -1.0])
    count = len(each.stems)
    order = np.random.default_rng(0).permutation(count) if count > DOTS_OF_LARGEST else np.arange(count)
    return tuple(Point(each.stems[at], *placed[at].round(1).tolist()) for at in order)


def dot_radius(count: int) -> float:
    """Return the radius of the dots of so many slides, units of the drawing."""
    radius = LARGEST_DOT * (DOTS_OF_LARGEST / max(count, DOTS_OF_LARGEST)) ** 0.4
    return round(max(SMALLEST_DOT, radius), 1)


def text(value: float) -> str:
    """Return a number for reading: whole ones with thousands apart, others with four digits."""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"
