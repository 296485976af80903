"""The product's commands, in this process; what they leave is read with h5py and json alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray
from paths import DATA

from atlaspatch_core.cli.main import cli

SIDE = 32
"""Side of a patch, px of level 0, where nothing else is asked for."""
PLUGIN = DATA / "written_before" / "colour_encoder.py"
"""Its encoder ``colour`` gives the mean colour of a patch, 0 to 1, and its square."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said, with single spaces."""

    code: int
    text: str


def run(*words: object) -> Said:
    """Run a command with these words."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Said(result.exit_code, " ".join(result.output.split()))


def encode(slides: Path | Sequence[Path], output: Path, *more: object) -> Said:
    """Run encode-slide for patches of 32 px at 0.5 µm/px, unless ``more`` says otherwise."""
    words = "--patch-encoders colour --patch-size 32 --target-mpp 0.5 --device cpu --feature-precision float32"
    plugin = ("--feature-plugin", PLUGIN, "--patch-workers", 1, "--feature-num-workers", 1)
    names = [slides] if isinstance(slides, Path) else slides
    return run("encode-slide", *names, "-o", output, *words.split(), *plugin, "--min-tissue-area", 0, *more)


@dataclass(frozen=True)
class Patches:
    """What was kept of a slide."""

    corners: NDArray[Any]
    """Shape (n, 2): x, y, px of level 0."""
    colours: NDArray[Any]
    """Shape (n, 3): mean RGB, 0 to 255."""
    attributes: dict[str, Any]


def patches_of(output: Path, stem: str) -> Patches:
    """Return what lies in a slide's file."""
    with h5py.File(output / "patches" / f"{stem}.h5") as file:
        return Patches(file["coords"][:, :2], file["features/colour"][:, :3] * 255, dict(file.attrs))


def mean_colours(pixels: NDArray[Any], corners: NDArray[Any], side: int = SIDE) -> NDArray[np.float64]:
    """Return the mean colour of each square of a picture, white beyond its edge, shape (n, 3)."""
    framed = np.pad(pixels, ((0, side), (0, side), (0, 0)), constant_values=255).astype(float)
    squares = [framed[y : y + side, x : x + side].reshape(-1, 3).mean(axis=0) for x, y in corners.tolist()]
    return np.array(squares).reshape(-1, 3)
