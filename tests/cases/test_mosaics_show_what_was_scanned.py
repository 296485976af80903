"""Mosaics whose tiles begin anywhere and were not scanned everywhere: a CZI shows them, and glass between them."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paint import TILE, difference, paint_scan
from reading import show
from rounds import examples

from atlaspatch_core.slides import open_slide

czi = pytest.importorskip("pylibCZIrw.czi", reason="pip install 'atlaspatch[czi]'")
COLUMNS, ROWS = 5, 4
PLACES = [(column, row) for row in range(ROWS) for column in range(COLUMNS)]
CORNERS = {(0, 0), (COLUMNS - 1, ROWS - 1)}
"""Tiles that are always scanned, so that the mosaic has its size."""


def write_mosaic(
    path: Path, scan: np.ndarray, lacking: set[tuple[int, int]], origin: tuple[int, int], mpp: float
) -> None:
    """Write the tiles of a scan but those that are lacking, the first of them at ``origin``, px."""
    with czi.create_czi(str(path)) as file:
        for column, row in PLACES:
            if (column, row) not in lacking:
                x, y = column * TILE, row * TILE
                tile = np.ascontiguousarray(scan[y : y + TILE, x : x + TILE, ::-1])
                file.write(tile, location=(origin[0] + x, origin[1] + y))
        file.write_metadata(document_name="a", scale_x=mpp * 1e-6, scale_y=mpp * 1e-6)


@examples(12)
@given(
    lacking=st.sets(st.sampled_from(sorted(set(PLACES) - CORNERS)), max_size=6),
    origin=st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000)),
    mpp=st.sampled_from([0.22, 0.25, 0.5, 1.0]),
    seed=st.integers(0, 9),
)
def test_a_mosaic_shows_its_tiles_where_they_were_scanned(lacking, origin, mpp, seed):
    scan = paint_scan(COLUMNS * TILE, ROWS * TILE, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.czi"
        write_mosaic(path, scan, lacking, origin, mpp)
        shown = show(path)
        with open_slide(path) as slide:
            assert slide.info.mpp == pytest.approx(mpp, rel=1e-6)
    for column, row in lacking:
        scan[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = 255
    assert not shown.refusal
    assert difference(shown.levels[0], scan) == 0
