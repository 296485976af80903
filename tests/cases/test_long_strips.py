"""What lies at the far end of a long strip is found there: outlines, patches, pictures, whoever reads the slide."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from long_strips import STAIN, Strip, paint_strip, strips
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.patches.grid import lay_grid
from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.patches.stream import stream_patches
from atlaspatch_core.pipeline import preview, process
from atlaspatch_core.slides import Slide, open_slide
from atlaspatch_core.slides.slide import Level
from atlaspatch_core.storage import Store
from atlaspatch_core.tissue.contours import read_geojson
from atlaspatch_core.validity import make_recipe, stored_in_files, validities

pytestmark = pytest.mark.quick
NEAR = 8 / 0.5 * 1.5
"""Level-0 px by which an outline may be off: 1.5 px of the overview of 8 µm per px."""


@contextmanager
def opened(strip: Strip) -> Iterator[Slide]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_slide(paint_strip(Path(folder) / f"a{strip.suffix}", strip)) as it,
    ):
        yield it


def recipe(folder: Path, segmenter: str):
    values = {
        "output": folder / "out",
        "tissue": {"segmenter": segmenter, "min_tissue_um2": 100, "closing_um": 0, "min_tissue_share": 0},
        "geometry": [{"patch_size": 64, "target_mpp": 0.5}],
        "runtime": {"device": "cpu", "read_workers": 1},
    }
    return make_recipe(make_project(values, origin="test"))


@given(strip=strips())
@examples(12)
def test_outlines_at_the_far_end_lie_where_the_tissue_does(strip: Strip):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = recipe(folder, "otsu")
        source = SlideSource("a", paint_strip(folder / f"a{strip.suffix}", strip))
        list(process([source], made))
        found = shapely.union_all(list(read_geojson(Store(made.project.output).geojson("a"))))
        assert np.abs(np.array(found.bounds) - strip.box).max() <= NEAR
        states = validities(made, ["a"], stored_in_files(made))
        assert {str(it.state) for it in states} == {"fresh"}


@given(strip=strips())
@examples(12)
def test_patches_of_a_coarse_level_hold_the_pixels_of_their_place(strip: Strip):
    factor = strip.factors[1]
    with opened(strip) as slide:
        spec = GridSpec(patch_size=4, target_mpp=slide.info.mpp * slide.info.levels[1].downsample, min_tissue=0)
        grid = lay_grid(slide.info, [shapely.box(0, 0, strip.width, strip.height)], spec)
        assert grid.sampling.level == 1
        side = grid.sampling.patch_size_level0
        for batch in stream_patches(slide, grid, batch_size=64, workers=1):
            for row, patch in zip(batch.rows.tolist(), batch.patches, strict=True):
                x, y = grid.coords[row].tolist()
                left, top, right, bottom = strip.box
                inside = left + factor <= x <= right - side - factor and top + factor <= y <= bottom - side - factor
                beside = x >= right + factor or x + side <= left - factor or y + side <= top - factor
                if inside:
                    assert np.abs(patch - np.array(STAIN)).max() <= 3, (x, y)
                elif beside and x + side <= strip.width and y + side <= strip.height:
                    assert patch.min() >= 230, (x, y)


@given(strip=strips())
@examples(12)
def test_a_thumbnail_shows_the_far_end_where_it_is(strip: Strip):
    with opened(strip) as slide:
        picture = preview.thumbnail(slide)
    stained = picture.min(axis=2) < 160
    across, down = strip.width / picture.shape[1], strip.height / picture.shape[0]
    columns, rows = np.flatnonzero(stained.any(axis=0)), np.flatnonzero(stained.any(axis=1))
    shown = columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down
    assert np.abs(np.array(shown) - strip.box).max() <= 2.5 * max(across, down)


@pytest.mark.parametrize("segmenter", ["otsu", "otsu_tiled"])
def test_a_strip_whose_level_has_two_scales_is_outlined_by_either_segmenter(tmp_path: Path, segmenter: str):
    strip = Strip(20_000, 190, (1, 16), (19_000, 0, 19_500, 190), ".svs")
    made = recipe(tmp_path, segmenter)
    list(process([SlideSource("a", paint_strip(tmp_path / "a.svs", strip))], made))
    (found,) = read_geojson(Store(made.project.output).geojson("a"))
    assert abs(found.bounds[0] - 19_000) <= NEAR
    assert abs(found.bounds[2] - 19_500) <= NEAR
    mask = Store(made.project.output).read_record("a").tissue_mask
    assert mask is not None
    assert mask.identity.spec["axes"] == [None, [16.0, 190 / 11]]


def test_levels_of_usual_slides_have_one_scale():
    """So that nothing that was made of them before is stale."""
    for width, height, factor in ((46_000, 32_914, 16), (2220, 2967, 4), (100_000, 80_000, 64), (81_345, 55_551, 4)):
        strip = Strip(width, height, (1, factor), (0, 0, 1, 1), ".svs")
        small = width // factor, height // factor
        assert Level.of(small, (strip.width, strip.height)).axes is None
