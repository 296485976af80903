"""Networks are loaded while tissue is found, where a slide is new; and nothing is loaded that nobody needs."""

import gc
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tracked_folders import paint

from atlaspatch_core.cli.main import cli

PLUGIN = """
from pathlib import Path
from threading import Event

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn
from atlaspatch_core.tissue.segmenters import Segmenter, TissuePixels

loaded = Event()


def build():
    from torch.nn import AdaptiveAvgPool2d, Flatten, Sequential

    with (Path(__file__).parent / "loads.txt").open("a") as file:
        file.write("load ")
    loaded.set()
    BREAK
    return Sequential(AdaptiveAvgPool2d(1), Flatten())


def segment(slide, spec, networks):
    import numpy as np

    if WAIT and not loaded.wait(60):
        raise RuntimeError("no network was loaded meanwhile")
    return TissuePixels(np.full((slide.info.height // 32, slide.info.width // 32), TISSUE), 32.0)


RGB = Transform(resize=None, crop=None, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))
PATCH_ENCODERS = [
    PatchEncoder(
        name="counted", architecture=Built(build), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0"
    )
]
SEGMENTERS = [Segmenter("waiting", version=1, license="MIT", source="this test", segment=segment)]
"""


FAR = """

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Far(BuiltIn):
    def cached(self):
        return None

    def find(self, encoder):
        from threading import current_thread

        with (Path(__file__).parent / "threads.txt").open("a") as file:
            file.write(current_thread().name)


PATCH_ENCODERS = [replace(PATCH_ENCODERS[0], source=Far())]
"""


def write_plugin(folder: Path, *, wait: bool = True, tissue: bool = True, broken: str = "pass") -> Path:
    path = folder / "plugin.py"
    text = PLUGIN.replace("WAIT", str(wait)).replace("TISSUE", str(tissue)).replace("BREAK", broken)
    path.write_text(f"# {folder}: a network of its own\n{text}")
    return path


def encode(folder: Path, *words: str) -> Result:
    options = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--patch-encoders", "counted"]
    plugin = ["--plugin", str(folder / "plugin.py"), "--segmenter", "waiting"]
    where = [str(folder / "slides"), "--output", str(folder / "out")]
    return CliRunner().invoke(cli, ["encode-slide", *where, *plugin, *options, *words])


def loads(folder: Path) -> int:
    path = folder / "loads.txt"
    return len(path.read_text().split()) if path.exists() else 0


def test_a_network_is_loaded_once_and_while_tissue_is_found(tmp_path: Path):
    paint(tmp_path / "slides", "a", "b")
    write_plugin(tmp_path)
    done = encode(tmp_path)
    assert done.exit_code == 0, done.output
    assert loads(tmp_path) == 1
    assert gc.isenabled()


def test_finished_slides_load_nothing(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    write_plugin(tmp_path, wait=False)
    assert encode(tmp_path).exit_code == 0
    (tmp_path / "loads.txt").unlink()
    again = encode(tmp_path)
    assert "1 reused" in again.output, again.output
    assert loads(tmp_path) == 0


def test_steps_that_need_no_network_load_none(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    plugin = write_plugin(tmp_path, wait=False)
    words = ["--wsi-dir", str(tmp_path / "slides"), "--job-dir", str(tmp_path / "out"), "--plugin", str(plugin)]
    words += ["--segmenter", "waiting", "--patch-size", "256", "--target-mag", "20", "--patch-encoders", "counted"]
    done = CliRunner().invoke(cli, ["run", "--task", "coords", *words])
    assert done.exit_code == 0, done.output
    assert loads(tmp_path) == 0


@pytest.mark.parametrize(
    ("error", "code"), [("raise ImportError('no such library')", 1), ("import sys; sys.exit(3)", 2)]
)
def test_what_goes_wrong_ahead_is_told_by_who_needs_it(tmp_path: Path, error: str, code: int):
    paint(tmp_path / "slides", "a", "b")
    write_plugin(tmp_path, broken=error)
    done = encode(tmp_path)
    assert done.exit_code == code, done.output
    assert "counted" in done.output
    assert "Traceback" not in done.output
    assert gc.isenabled()


def test_slides_without_tissue_end_as_before(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    write_plugin(tmp_path, tissue=False)
    done = encode(tmp_path)
    assert done.exit_code == 0, done.output
    assert "0 patches" in done.output


def test_weights_are_fetched_by_who_needs_them_not_ahead(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    path = write_plugin(tmp_path, wait=False)
    path.write_text(path.read_text() + FAR)
    done = encode(tmp_path)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "threads.txt").read_text() != "load"
