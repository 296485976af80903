"""Folders that real runs left, for the tests of tracking and status."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from plugins import plugin_file
from processes import Child, start_cli
from waiting import until

from atlaspatch_core.cli.main import cli

PLUGIN_HEAD = """
import time
from pathlib import Path

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn

HERE = Path(__file__).parent


def mean_colour():
    from torch.nn import AdaptiveAvgPool2d, Flatten, Sequential

    return Sequential(AdaptiveAvgPool2d(1), Flatten())


def wait_at_gate(network, features, coords, patch_size_level0):
    (HERE / "reached").touch()
    for _ in range(100_000):  # longer than any test waits for it
        if not (HERE / "gate").exists():
            break
        time.sleep(0.01)
    return features.mean(axis=0)


RGB = Transform(resize=None, crop=None, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))
"""
"""What plugins begin with: an encoder of three numbers, and one of slides that waits as long as there is a ``gate``."""

PLUGIN = f"""{PLUGIN_HEAD}PATCH_ENCODERS = [
    PatchEncoder(name=name, architecture=Built(mean_colour), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0")
    for name in ("tiny", "other")
]
SLIDE_ENCODERS = [SlideEncoder(name="gated", patch_encoder="tiny", dim=3, forward=wait_at_gate, license="CC0-1.0")]
"""
"""Encoders of three numbers, and one of slides that waits as long as there is a file ``gate``."""


def paint(folder: Path, *stems: str) -> Path:
    folder.mkdir(exist_ok=True)
    for stem in stems:
        paint_slide(folder / f"{stem}.svs", stain(white(1024, 1024), 128, 128, 512, 768))
    return folder


def arguments(tmp_path: Path, *more: str, slides: Path | None = None) -> list[str]:
    """Return the words after ``atlaspatch`` that encode the slides of a folder."""
    plugin = plugin_file(PLUGIN)
    if "gated" in more:  # its gate is beside it
        plugin = tmp_path / "plugin.py"
        plugin.write_text(PLUGIN)
    options = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--feature-precision", "float32"]
    where = [str(slides or tmp_path / "slides"), "--output", str(tmp_path / "out"), "--feature-plugin", str(plugin)]
    encoders = [] if "--slide-encoders" in more or "--patch-encoders" in more else ["--patch-encoders", "tiny"]
    return ["encode-slide", *where, *options, *encoders, *more]


def encode(tmp_path: Path, *more: str, slides: Path | None = None) -> Result:
    return CliRunner().invoke(cli, arguments(tmp_path, *more, slides=slides))


def runs_of(output: Path) -> list[dict[str, Any]]:
    """Return the runs that are recorded, in the order of their start."""
    runs = [json.loads(path.read_bytes()) for path in (output / "runs").glob("*.json")]
    return sorted(runs, key=lambda run: run["started_epoch"])


def state_of(output: Path, stem: str) -> dict[str, Any]:
    (path,) = (output / "wsi_states").glob(f"{stem}__*.json")
    return json.loads(path.read_bytes())


@contextmanager
def at_gate(folder: Path, words: Sequence[str]) -> Iterator[Child]:
    """Run a command in a process of its own until its encoder, a plugin in ``folder``, waits at the gate."""
    (folder / "gate").touch()
    with start_cli(*words) as process:
        try:
            until("the run is at the gate", lambda: (folder / "reached").exists() or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            process.kill()
