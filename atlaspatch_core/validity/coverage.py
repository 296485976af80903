"""How much of a project there is: outputs × slides, counted and drawn."""

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.states import State, Validity

COLOURS: Mapping[State, tuple[int, int, int]] = {
    State.FRESH: (46, 160, 67),
    State.STALE: (227, 160, 8),
    State.MISSING: (140, 149, 159),
    State.FAILED: (207, 34, 46),
}
WORST_FIRST = (State.FAILED, State.STALE, State.MISSING, State.FRESH)
MOST_COLUMNS = 480
"""px of the picture; where there are more slides, a column shows the worst of its share of them."""
ROW, GAP = 14, 2
"""Height of an output's row, and what lies between rows, px."""


def count_states(validities: Iterable[Validity]) -> dict[OutputKey, Counter[State]]:
    """Return how many slides are in which state, by step."""
    counts: defaultdict[OutputKey, Counter[State]] = defaultdict(Counter)
    for validity in validities:
        counts[validity.step][validity.state] += 1
    return dict(counts)


def draw_coverage(validities: Iterable[Validity]) -> bytes:
    """Return a PNG with a row for every output and a column for every slide, or every few; at most 8 kB."""
    from PIL import Image

    states: defaultdict[OutputKey, list[State]] = defaultdict(list)
    for validity in validities:
        states[validity.step].append(validity.state)
    rows = [_columns(of_step) for of_step in states.values()]
    width = max((len(row) for row in rows), default=1)
    picture = np.full((max(1, len(rows) * (ROW + GAP)), width * _scale(width), 3), 255, np.uint8)
    for number, row in enumerate(rows):
        top = number * (ROW + GAP)
        colours = np.array([COLOURS[state] for state in row], np.uint8)
        picture[top : top + ROW, : len(row) * _scale(width)] = np.repeat(colours, _scale(width), axis=0)[None]
    stream = io.BytesIO()
    Image.fromarray(picture).quantize(8).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _scale(columns: int) -> int:
    return max(1, min(24, MOST_COLUMNS // columns))


def _columns(states: Sequence[State]) -> list[State]:
    """Return the states, or the worst of each of ``MOST_COLUMNS`` shares of them."""
    if len(states) <= MOST_COLUMNS:
        return list(states)
    bounds = np.linspace(0, len(states), MOST_COLUMNS + 1).astype(int).tolist()
    return [min(states[start:stop], key=WORST_FIRST.index) for start, stop in pairwise(bounds)]
