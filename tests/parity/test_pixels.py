"""Patches by the rules of TRIDENT and AtlasPatch have the pixels of OpenSlide's own calls, and features follow them.

The right values come from openslide-python, Pillow and OpenCV: read a square, drop its alpha, resize it.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import h5py
import numpy as np
import openslide
import pytest
import shapely
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from painting import paint_slide
from paths import DATA
from PIL import Image
from rounds import examples

from atlaspatch_core.cli.main import cli
from atlaspatch_core.patches.grid import lay_grid
from atlaspatch_core.patches.grid_spec import GridSpec, Rule
from atlaspatch_core.patches.stream import open_stream
from atlaspatch_core.slides.isolated import open_isolated
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Slide

PLUGIN = DATA / "written_before" / "colour_encoder.py"


class PaintedSlide(NamedTuple):
    """What a slide is painted from."""

    width: int
    height: int
    levels: tuple[float, ...]
    compression: str | None
    seed: int


class Cut(NamedTuple):
    """How patches are asked for: a rule, sides in px, a magnification of a slide of 40x."""

    rule: Rule
    patch_size: int
    step_size: int
    magnification: float

    @property
    def tolerance(self) -> float:
        """By how much a level's downsample may differ from the one asked for."""
        return 0.1 if self.rule == "trident" else 0.01


SLIDES = st.builds(
    PaintedSlide,
    st.integers(700, 1100),
    st.integers(500, 900),
    st.sampled_from(((1,), (1, 2), (1, 4), (1, 2.003, 4.06), (1, 3.93), (1, 1.7, 5.3))),
    st.sampled_from((None, "jpeg")),
    st.integers(0, 99),
)
CUTS = st.builds(
    lambda rule, size, step, magnification: Cut(rule, size, round(size * step), magnification),
    st.sampled_from(("trident", "atlaspatch")),
    st.sampled_from((33, 64, 97)),
    st.sampled_from((1, 0.5, 0.71)),
    st.sampled_from((40, 20, 10, 16)),
)


def paint(path: Path, slide: PaintedSlide) -> Path:
    """Write noise on coarser noise, so that every px counts."""
    rng = np.random.default_rng(slide.seed)
    coarse = rng.integers(0, 200, (slide.height // 16 + 1, slide.width // 16 + 1, 3), np.uint8)
    pixels = coarse.repeat(16, 0).repeat(16, 1)[: slide.height, : slide.width]
    pixels = pixels + rng.integers(0, 56, pixels.shape, np.uint8)
    return paint_slide(
        path, pixels, mpp=0.25, levels=slide.levels, compression=slide.compression, objective_power=40, tile=128
    )


@contextmanager
def opened(path: Path, is_isolated: bool) -> Iterator[Slide]:
    """Open a slide in this process or in one of its own."""
    with open_isolated(path.stem, open_slide, path) if is_isolated else open_slide(path) as slide:
        yield slide


class Reference:
    """Patches as tools cut them that ask OpenSlide for a square, drop its alpha and resize it."""

    def __init__(self, path: Path, cut: Cut) -> None:
        self.slide, self.cut = openslide.OpenSlide(path), cut
        downsamples, downsample = self.slide.level_downsamples, 40 / cut.magnification
        near = [i for i, stored in enumerate(downsamples) if abs(stored - downsample) <= cut.tolerance]
        self.level = near[0] if near else max(i for i, stored in enumerate(downsamples) if stored <= downsample)
        stored = downsamples[self.level]
        whole = stored - int(stored) <= 0.1 and cut.rule == "trident"
        self.side = round(round(cut.patch_size * downsample) / (int(stored) if whole else stored))

    def patch(self, x: int, y: int) -> NDArray[np.uint8]:
        """Return the patch with this corner, level-0 px."""
        image = self.slide.read_region((x, y), self.level, (self.side, self.side)).convert("RGB")
        size = (self.cut.patch_size, self.cut.patch_size)
        if self.cut.rule == "trident":
            return np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.uint8)
        pixels = np.asarray(image, np.uint8)
        is_same = image.size == size
        return pixels if is_same else np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def options(cut: Cut) -> list[object]:
    return [
        *("--patch-size", cut.patch_size, "--step-size", cut.step_size, "--target-mag", cut.magnification),
        *("--rule", cut.rule, "--scale", "nominal", "--min-tissue", 0),
    ]


@pytest.mark.quick
@examples(24)
@given(painted=SLIDES, cut=CUTS, is_isolated=st.booleans())
def test_patches_have_the_pixels_of_openslides_own_calls(painted: PaintedSlide, cut: Cut, is_isolated: bool):
    spec = GridSpec(
        patch_size=cut.patch_size,
        step_size=cut.step_size,
        target_mpp=10 / cut.magnification,
        scale="nominal",
        min_tissue=0,
        rule=cut.rule,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = paint(Path(folder) / "a.svs", painted)
        reference = Reference(path, cut)
        with opened(path, is_isolated) as slide:
            grid = lay_grid(slide.info, [shapely.box(0, 0, slide.info.width, slide.info.height)], spec)
            rows = 0
            with open_stream(slide, grid, batch_size=9, workers=2) as stream:
                for batch in stream:
                    for row, patch in zip(batch.rows, batch.patches, strict=True):
                        assert np.array_equal(patch, reference.patch(*grid.coords[row].tolist())), grid.coords[row]
                        rows += 1
        assert rows == len(grid.coords) > 3


def test_transparent_px_are_black_by_both_ways_of_reading(tmp_path: Path):
    """Tiles that are not stored are transparent to OpenSlide; one at the edge, one inside."""
    import tifffile

    tile = np.full((128, 128, 3), 180, np.uint8)
    path = tmp_path / "a.svs"
    tiles = [None if number in (5, 7) else tile for number in range(16)]
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=(512, 512, 3),
        dtype=np.uint8,
        tile=(128, 128),
        photometric="rgb",
        description="Aperio Image Library v11\r\n512x512|AppMag = 40|MPP = 0.25",
        metadata=None,
    )
    cut = Cut("trident", 100, 100, 40)
    reference = Reference(path, cut)
    spec = GridSpec(patch_size=100, target_mpp=0.25, scale="nominal", min_tissue=0, rule="trident")
    with open_slide(path) as slide:
        grid = lay_grid(slide.info, [shapely.box(0, 0, 512, 512)], spec)
        with open_stream(slide, grid, batch_size=9, workers=2) as stream:
            batches = list(stream)
    patches = np.concatenate([batch.patches for batch in batches])
    rows = np.concatenate([batch.rows for batch in batches])
    expected = [reference.patch(*corner) for corner in grid.coords.tolist()]
    assert np.array_equal(patches[np.argsort(rows)], expected)
    assert min(int(patch.min()) for patch in expected[:20]) == 0


@pytest.mark.parametrize(
    ("rule", "levels", "magnification"),
    [("trident", (1, 2.003), 20), ("atlaspatch", (1, 4), 20), ("trident", (1, 3.93), 16), ("atlaspatch", (1,), 40)],
)
def test_features_of_every_row_are_those_of_a_loop_over_openslide(rule, levels, magnification, tmp_path: Path):
    path = paint(tmp_path / "a.svs", PaintedSlide(1003, 701, levels, None, 5))
    (tmp_path / "masks").mkdir()
    mask = np.full((70, 100), 255, np.uint8)
    mask[:3, :3] = 0
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    cut = Cut(rule, 96, 61, magnification)
    words = ["encode-slide", path, "-o", tmp_path / "out", "--masks", tmp_path / "masks", *options(cut)]
    words += ["--feature-plugin", PLUGIN, "--patch-encoders", "colour", "--device", "cpu"]
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        coords, features = np.asarray(file["coords"])[:, :2], np.asarray(file["features/colour"])
    reference = Reference(path, cut)
    means = [reference.patch(*corner).mean((0, 1)) / 255 for corner in coords.tolist()]
    expected = np.array([[*mean, *mean**2] for mean in means])
    assert len(coords) > 12
    assert np.abs(features - expected).max() < 1e-6
