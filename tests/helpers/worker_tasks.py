"""Tasks for worker processes, with encoders of slides that do not come back."""

from pathlib import Path

from atlaspatch_core.config.project import make_project
from atlaspatch_core.pipeline.workers.worker import WorkerTask
from atlaspatch_core.validity.recipe import make_recipe

PLUGIN = '''
import os, signal, time
from contextlib import suppress
from pathlib import Path
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn

HERE = Path(__file__).parent

def mean_colour():
    from torch.nn import AdaptiveAvgPool2d, Flatten, Sequential
    return Sequential(AdaptiveAvgPool2d(1), Flatten())

def patches_of(notes):
    return sum(map(int, notes.read_text().split()))

def slow_colour():
    """Takes 4 ms a patch, or longer where the test wants it, and notes how many it was given."""
    import torch

    class Slow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.notes = HERE / f"encoded-{time.monotonic_ns():020}-{os.getpid()}"
            self.patches = 0

        def is_held_up(self):
            """Tell whether a test waits for another process to encode, or has to act before the slide is done."""
            is_alone = max((patches_of(file) for file in HERE.glob("encoded-*") if file != self.notes), default=0) <= 32
            return (HERE / "together").exists() and is_alone or (HERE / "long").exists() and self.patches > 300

        def forward(self, pixels):
            self.patches += len(pixels)
            with self.notes.open("a") as file:
                file.write(f"{len(pixels)} ")
            with suppress(FileNotFoundError):
                (HERE / f"failing-at-{len(pixels)}").unlink()
                raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
            time.sleep(0.3 if self.is_held_up() else 0.004 * len(pixels))
            return pixels.mean(dim=(2, 3)) + pixels[:, :, 0, 0] / 7

    return Slow()

def deadly(network, features, coords, patch_size_level0):
    (HERE / f"pid-{os.getpid()}").touch()
    if len(features) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return features.mean(axis=0)

def endless(network, features, coords, patch_size_level0):
    (HERE / f"pid-{os.getpid()}").touch()
    time.sleep(600)

RGB = Transform(resize=None, crop=None, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))
PATCH_ENCODERS = [
    PatchEncoder(
        name="tiny", architecture=Built(mean_colour), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0"
    ),
    PatchEncoder(
        name="slow", architecture=Built(slow_colour), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0"
    ),
]
SLIDE_ENCODERS = [
    SlideEncoder(name="deadly", patch_encoder="tiny", dim=3, forward=deadly, license="CC0-1.0"),
    SlideEncoder(name="endless", patch_encoder="tiny", dim=3, forward=endless, license="CC0-1.0"),
]
'''
"""``deadly`` kills its process at a slide of one patch."""


def tasks(folder: Path, slide_encoder: str, workers: int = 2, batch_size: int = 32) -> list[WorkerTask]:
    values = {
        "output": folder / "out",
        "geometry": ({"patch_size": 256, "target_mag": 20, "min_tissue": 0.5, "slide_encoders": (slide_encoder,)},),
        "plugins": (folder / "plugin.py",),
        "runtime": {"device": "cpu", "threads": 1, "feature_batch_size": batch_size},
    }
    project = make_project(values, origin="test")
    return [WorkerTask(project, tuple(stage.step for stage in make_recipe(project).stages))] * workers


def sharing_tasks(folder: Path, output: Path, workers: int = 2) -> list[WorkerTask]:
    """Return tasks of workers that share every slide of 64 patches or more, of an encoder that takes 4 ms a patch.

    As long as there is a file ``together`` beside the plugin, a process takes 0.3 s a batch until another has encoded
    more than 32 patches; as long as there is a file ``long``, so it does after its first 300.
    """
    values = {
        "output": output,
        "geometry": ({"patch_size": 128, "target_mag": 20, "min_tissue": 0.5, "slide_encoders": ("mean-slow",)},),
        "plugins": (folder / "plugin.py",),
        "runtime": {"device": "cpu", "threads": 1, "read_workers": 1, "feature_batch_size": 8},
    }
    project = make_project(values, origin="test")
    steps = tuple(stage.step for stage in make_recipe(project).stages)
    return [WorkerTask(project, steps, least_share=32)] * workers
