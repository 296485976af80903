"""What the dots of a map are coloured by: groups of slides, each with a colour and a line of the legend."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from atlaspatch_core.operations.report.cards import Card
from atlaspatch_core.operations.report.labels import LabelColumn, SlideLabels

MOST_CATEGORIES = 10
"""Values with a colour of their own; slides of rarer ones share one."""
MOST_STEPS = 9
"""Colours of a column of numbers."""
NO_LABEL = "no label"
STATES = {
    "failed": "failed",
    "stale": "stale",
    "odd": "unlike the others",
    "usual": "nothing to look at",
}
"""Style of a dot to what the legend says."""


@dataclass(frozen=True, slots=True)
class ColourGroup:
    """Slides of one colour."""

    label: str
    style: str
    """What the style sheet knows the colour by."""


@dataclass(frozen=True, slots=True)
class LegendLine:
    """One line of the legend of a map."""

    place: int
    """Of the group in its colouring."""
    group: ColourGroup
    count: int
    """Slides of the map that are in it."""


@dataclass(frozen=True, slots=True)
class Colouring:
    """One thing that maps are coloured by."""

    name: str
    groups: tuple[ColourGroup, ...]
    """In the order of the legend."""
    group_of: Mapping[str, int]
    """Stem to the place of its group, of every slide of the page."""
    column: str | None = None
    """The column of the table of labels; None for what the page itself knows."""

    def legend(self, stems: Sequence[str]) -> tuple[LegendLine, ...]:
        """Return the groups that these slides are in."""
        counted = Counter(self.group_of[stem] for stem in stems)
        return tuple(LegendLine(place, self.groups[place], counted[place]) for place in sorted(counted))


def colourings(cards: Sequence[Card], labels: SlideLabels | None) -> tuple[Colouring, ...]:
    """Return what maps of these slides can be coloured by: columns of labels, then what the page itself knows."""
    stems = [card.summary.stem for card in cards]
    columns = labels.columns if labels else ()
    scanners = by_category("scanner", {card.summary.stem: card.scanner for card in cards}, stems)
    return (*(by_column(column, stems) for column in columns), by_state(cards), scanners)


def by_state(cards: Sequence[Card]) -> Colouring:
    """Return slides by the gravest of what there is to look at."""
    places = {style: place for place, style in enumerate(STATES)}
    of_card = {
        card.summary.stem: next((style for style in places if style in card.kinds.split()), "usual") for card in cards
    }
    groups = tuple(ColourGroup(label, style) for style, label in STATES.items())
    return Colouring("what there is to look at", groups, {stem: places[style] for stem, style in of_card.items()})


def by_column(column: LabelColumn, stems: Sequence[str]) -> Colouring:
    """Return slides by a column: numbers in steps, but few whole ones and texts each with a colour of its own."""
    numbers = column.numbers
    if numbers is None:
        return by_category(column.name, column.texts, stems, column.name)
    finite = {stem: number for stem, number in numbers.items() if math.isfinite(number)}
    values = set(finite.values())
    if len(values) < 2 or (len(values) <= MOST_CATEGORIES and all(value.is_integer() for value in values)):
        alike = {stem: f"{number:.10g}" for stem, number in finite.items()}
        return by_category(column.name, alike, stems, column.name, order=float)
    return by_number(column.name, finite, stems)


def by_category(
    name: str,
    values: Mapping[str, str],
    stems: Sequence[str],
    column: str | None = None,
    order: Callable[[str], object] = str.casefold,
) -> Colouring:
    """Return slides by their values: the most frequent in their order, then all others, then those without."""
    counted = Counter(values[stem] for stem in stems if stem in values)
    frequent = sorted(counted, key=lambda value: (-counted[value], value))[:MOST_CATEGORIES]
    places = {value: place for place, value in enumerate(sorted(frequent, key=order))}  # type: ignore[arg-type]
    groups = [ColourGroup(value, f"c{place}") for value, place in places.items()]
    rare = len(counted) - len(frequent)
    groups += [ColourGroup(f"{rare:,} other {'value' if rare == 1 else 'values'}", "rest")] if rare else []
    groups.append(ColourGroup(NO_LABEL, "none"))
    none = len(groups) - 1
    group_of = {stem: places.get(values[stem], none - 1) if stem in values else none for stem in stems}
    return Colouring(name, tuple(groups), group_of, column)


def by_number(name: str, values: Mapping[str, float], stems: Sequence[str]) -> Colouring:
    """Return slides by a number in steps of one round width over its range, then those without."""
    edges = round_edges(min(values.values()), max(values.values()))
    steps = len(edges) - 1
    labels = [f"{edge_text(least, edges)} to {edge_text(most, edges)}" for least, most in pairwise(edges)]
    shades = [round(place * (MOST_STEPS - 1) / max(1, steps - 1)) for place in range(steps)]
    groups = [ColourGroup(label, f"n{shade}") for label, shade in zip(labels, shades, strict=True)]
    place_of = {stem: min(bisect_right(edges, value), steps) - 1 for stem, value in values.items()}
    groups.append(ColourGroup(NO_LABEL, "none"))
    return Colouring(name, tuple(groups), {stem: place_of.get(stem, steps) for stem in stems}, name)


def round_edges(low: float, high: float) -> list[float]:
    """Return the ends of at most MOST_STEPS steps over a range; each is of 1, 2 or 5 times a power of ten.

    ``low`` is below ``high``; both lie between the first end and the last.
    """
    exponent = math.floor(math.log10((Fraction(high) - Fraction(low)) / MOST_STEPS))
    powers = [Fraction(10) ** (exponent + more) for more in range(3)]
    ends = (_ends(low, high, factor * power) for power in powers for factor in (1, 2, 5))
    return next(each for each in ends if len(each) <= MOST_STEPS + 1)


def _ends(low: float, high: float, width: Fraction) -> list[float]:
    first, last = math.floor(Fraction(low) / width), math.ceil(Fraction(high) / width)
    return [float(place * width) for place in range(first, last + 1)]


def edge_text(edge: float, edges: Sequence[float]) -> str:
    """Return an end of a step with as many digits as tell it from the next."""
    digits = max(0, -math.floor(math.log10(edges[1] - edges[0]) + 1e-9))
    return f"{edge:,.{digits}f}" if digits <= 6 and abs(edge) < 1e12 else f"{edge:.6g}"
