"""The rule of AtlasPatch through the command line, on random masks: OpenCV's own test of points says what it gives."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from click.testing import CliRunner
from four_points import probed
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_glass
from paths import DATA
from PIL import Image
from rounds import examples

from atlaspatch_core.cli.main import cli
from parity.cases import draw_contours

PLUGIN = DATA / "written_before" / "colour_encoder.py"


def rows_of(folder: Path, *words: object) -> list[list[int]]:
    """Return the coords that ``encode-slide`` stores of the slide and the masks in a folder."""
    options = ["--rule", "atlaspatch", "--scale", "nominal", "--device", "cpu", "--feature-plugin", PLUGIN]
    places = [folder / "a.svs", "-o", folder / "out", "--masks", folder / "masks"]
    given = ["encode-slide", *places, *options, "--patch-encoders", "colour", *words]
    result = CliRunner().invoke(cli, [str(word) for word in given])
    assert result.exit_code == 0, result.output
    with h5py.File(folder / "out" / "patches" / "a.h5") as file:
        return file["coords"][()].tolist()  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]


@st.composite
def painted_masks(draw: st.DrawFn) -> np.ndarray:
    """Draw pieces that touch, overlap and have holes, and specks that meet at corners."""
    mask = np.zeros((96, 128), bool)
    for _ in range(draw(st.integers(1, 6))):
        x, y, across, down = (draw(st.integers(0, high)) for high in (110, 80, 60, 50))
        mask[y : y + down + 1, x : x + across + 1] ^= draw(st.sampled_from((True, True, False)))
    for seed in draw(st.lists(st.integers(0, 2**16), max_size=2)):
        mask ^= np.random.default_rng(seed).random(mask.shape) > 0.995
    return mask


@examples(6)
@given(mask=painted_masks(), thresh=st.sampled_from((0.0, 0.01, 0.05)), sizes=st.sampled_from(((64, 64), (48, 31))))
def test_random_masks_give_what_four_points_of_opencv_say(mask: np.ndarray, thresh: float, sizes: Sequence[int]):
    mask[0, 0] = False
    contours = draw_contours(mask, 2048, 1536, thresh * mask.size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paint_glass(folder / "a.svs", 2048, 1536, mpp=0.5, levels=(1,))
        (folder / "masks").mkdir()
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / "a.png")
        words = ["--patch-size", sizes[0], "--step-size", sizes[1], "--target-mag", 20, "--tissue-thresh", thresh]
        found = [row[:2] for row in rows_of(folder, *words)]
    assert found == [corner for corner in probed(contours, *sizes) if corner[0] < 2048 and corner[1] < 1536]
