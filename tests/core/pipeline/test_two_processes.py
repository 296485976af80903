"""Two real processes at once: no result is lost and no person is needed."""

from pathlib import Path

import h5py
import pytest
from painting import paint_slide, stain, white
from processes import start_cli


def command(slides: Path, output: Path, *more: str) -> list[str]:
    options = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--feature-precision", "float32"]
    return ["encode-slide", str(slides), "--output", str(output), *options, *more]


def finished(folder: Path) -> dict[str, dict[str, bytes]]:
    """Open every H5, which fails on a damaged one, and return the datasets of each."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.rglob("*.h5")):
        with h5py.File(path) as file:
            arrays: dict[str, bytes] = {}
            file.visititems(
                lambda name, item, arrays=arrays: (
                    arrays.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
                )
            )
        found[path.name] = arrays
    return found


@pytest.fixture
def slides(tmp_path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    for number, stem in enumerate(("a", "b", "c")):
        paint_slide(folder / f"{stem}.svs", stain(white(3072, 2048), 256 * number, 256, 2048, 1536))
    return folder


PLUGIN = """
from torch import nn
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.weights import BuiltIn


class Mean(nn.Module):
    def forward(self, pixels):
        return pixels.float().mean(dim=(2, 3))


class Most(nn.Module):
    def forward(self, pixels):
        return pixels.float().amax(dim=(2, 3))


PATCH_ENCODERS = [
    PatchEncoder(
        name=name, architecture=Built(network), source=BuiltIn(), dim=3, transform=None, license="Apache-2.0"
    )
    for name, network in (("mean_colour", Mean), ("most_colour", Most))
]
"""


@pytest.mark.e2e
def test_two_processes_that_add_different_encoders_to_the_same_slides_both_land(slides, tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    options = ["--feature-plugin", str(plugin), "--patch-encoders"]
    runs = [command(slides, tmp_path / "out", *options, name) for name in ("mean_colour", "most_colour")]
    processes = [start_cli(*run) for run in runs]
    for process in processes:
        with process:
            process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    for arrays in finished(tmp_path / "out").values():
        assert {"features/mean_colour", "features/most_colour"} <= arrays.keys()
