"""A picture too large for a network: predicted in overlapping tiles that are blended into one.

Where two tiles meet, their weights cross over smoothly and sum to one, so that no seam shows; a picture of one tile is
the network's own answer. The blended map is kept at a resolution reduced by a power of two where it would exceed
``MOST_PIXELS``: weighted tiles are averaged over squares before they are added up, so the full map never exists.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 2**25
"""Of the blended map: 128 MiB of float32. A slide of 25,000 × 20,000 px is kept at a quarter, of 100,000 × 80,000 at a
sixteenth of its sides."""
STEPS = 256
"""Weights are multiples of 1 / ``STEPS``: those of two tiles sum to one exactly, in floating point too."""
READERS = 2
"""Threads that read tiles ahead of the network. Speed only."""

Tile = tuple[int, int]
"""x, y of its top left corner, px of the picture."""
Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tiling:
    """Where the tiles of a picture lie."""

    width: int
    """Of the picture, px."""
    height: int
    """Of the picture, px."""
    side: int = 512
    """Of a tile, px; a multiple of ``reduction``."""
    overlap: int = 128
    """Least overlap of neighbours, px; at most half of ``side``, a multiple of ``reduction``."""
    reduction: int = 1
    """Side of the square of px that becomes one px of the map."""

    def __post_init__(self) -> None:
        if self.side % self.reduction or self.overlap % self.reduction or not 0 < 2 * self.overlap <= self.side:
            raise ValueError(
                f"tiles of {self.side} px, overlap {self.overlap}, do not fit a map reduced {self.reduction}:1"
            )

    @property
    def columns(self) -> NDArray[np.int64]:
        """Left edges of the tiles, px."""
        return _starts(self.width, self)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Top edges of the tiles, px."""
        return _starts(self.height, self)


def reduction_for(width: int, height: int) -> int:
    """Return the least power of two by which a map of ``width`` × ``height`` px is reduced to ``MOST_PIXELS``."""
    reduction = 1
    while -(-width // reduction) * -(-height // reduction) > MOST_PIXELS:
        reduction *= 2
    return reduction


def predict(
    tiling: Tiling,
    read: Callable[[int, int], Pixels],
    scores: Callable[[list[Pixels]], Map],
    *,
    is_included: Callable[[int, int], bool] = lambda x, y: True,  # noqa: ARG005
    batch_size: int = 1,
) -> Map:
    """Return the blended scores, shape (height, width) over ``reduction``, rounded up.

    ``read`` takes x, y and returns a tile; ``scores`` takes tiles and returns (tiles, side, side); tiles that are not
    ``is_included`` count as zero. Each px of the map is the mean of its square.
    """
    unit, side = tiling.reduction, tiling.side // tiling.reduction
    columns, rows = tiling.columns, tiling.rows
    across, down = weights(columns, tiling), weights(rows, tiling)
    blended = np.zeros((rows[-1] // unit + side, columns[-1] // unit + side), np.float32)
    places = [(i, j) for i, y in enumerate(rows) for j, x in enumerate(columns) if is_included(int(x), int(y))]
    corners = [(int(columns[j]), int(rows[i])) for i, j in places]
    for (i, j), scores_of_tile in zip(places, _scored(corners, read, scores, batch_size), strict=True):
        y, x = rows[i] // unit, columns[j] // unit
        blended[y : y + side, x : x + side] += _mean(scores_of_tile * (down[i][:, None] * across[j]), unit)
    return blended[: -(-tiling.height // unit), : -(-tiling.width // unit)]


def weights(starts: NDArray[np.int64], tiling: Tiling) -> Map:
    """Return the weight of each px of each tile along one axis, shape (tiles, side); at every px they sum to one."""
    place = starts[:, None] + np.arange(tiling.side) + 0.5
    weight = np.ones(place.shape)
    middles = (starts[1:] + starts[:-1] + tiling.side) / 2
    weight[1:] -= 1 - _ramp(place[1:] - middles[:, None], tiling.overlap)
    weight[:-1] -= _ramp(place[:-1] - middles[:, None], tiling.overlap)
    return weight.astype(np.float32)


def _ramp(distance: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return 0 to 1, smoothly, over ``width`` px round zero, in steps of 1 / ``STEPS``."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return np.round(t * t * (3 - 2 * t) * STEPS) / STEPS


def _starts(length: int, tiling: Tiling) -> NDArray[np.int64]:
    """Return where tiles start along one axis: evenly, from the first px to the last, whole units of the map apart."""
    unit = tiling.reduction
    length, side, overlap = -(-length // unit), tiling.side // unit, tiling.overlap // unit
    count = max(1, -(-(length - overlap) // (side - overlap)))
    return np.arange(count) * max(0, length - side) // max(1, count - 1) * unit


def _mean(values: Map, unit: int) -> Map:
    """Return the mean of each ``unit`` × ``unit`` square."""
    if unit == 1:
        return values
    side = len(values) // unit
    return values.reshape(side, unit, side, unit).mean(axis=(1, 3), dtype=np.float32)


def _scored(
    corners: list[Tile], read: Callable[[int, int], Pixels], scores: Callable[[list[Pixels]], Map], batch_size: int
) -> Iterator[Map]:
    """Yield the scores of each tile; at most a batch and what the readers have ahead is held."""
    with ThreadPoolExecutor(READERS) as pool:
        batch: list[Pixels] = []
        for pixels in _read_ahead(pool, read, corners, batch_size + READERS):
            batch.append(pixels)
            if len(batch) == batch_size:
                yield from scores(batch)
                batch = []
        if batch:
            yield from scores(batch)


def _read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[int, int], Pixels], corners: Iterable[Tile], ahead: int
) -> Iterator[Pixels]:
    """Yield tiles in order while threads read the next ones."""
    waiting: deque[Future[Pixels]] = deque()
    for x, y in corners:
        waiting.append(pool.submit(read, x, y))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
