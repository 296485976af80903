"""What is measured: slides, networks, device; and one run of the pipeline over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.precision import Compile
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.hdf5 import read_array
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.validity.outcome import OutputKey, Status
from atlaspatch_core.validity.recipe import make_recipe
from benchmarks.gpu.networks import PLUGIN, Network, encoder_of
from benchmarks.slides import make_slide

MAGNIFICATION = 20


@dataclass(frozen=True, slots=True)
class Setting:
    """One machine's work."""

    device: str
    folder: Path
    slides: tuple[Path, ...]
    size: tuple[int, int]
    """Width and height of every slide, level-0 px."""
    networks: tuple[Network, ...]
    precisions: tuple[str, ...]
    batch_size: int
    patch_size: int
    """Side of a patch, px at 20x."""
    readers: int
    """Threads that read."""
    rounds: int

    @property
    def on_gpu(self) -> bool:
        """Tell whether a GPU of NVIDIA's computes, of which copies, memory and utilisation can be told."""
        return self.device.startswith("cuda")

    @property
    def output(self) -> Path:
        """Return the folder in which masks and coords lie, and features are written."""
        return self.folder / "out"

    @property
    def slide(self) -> str:
        """Say which slide a rate in slides an hour is of."""
        width, height = self.size
        return f"{width:,} × {height:,} px at 20x, 38 % tissue, JPEG 4:2:0 in 256-px tiles"


def make_slides(folder: Path, count: int, size: tuple[int, int]) -> tuple[Path, ...]:
    """Write ``count`` equal slides of a size, px, and return them."""
    return tuple(make_slide(folder / f"slide{number}.svs", *size) for number in range(count))


def project(
    setting: Setting, network: Network, precision: str, batch_size: int | str, rewriting: Compile = "off"
) -> Project:
    """Return a project of one geometry and one network. Raises InvalidProject for a batch size that cannot be.

    ``rewriting`` is the option ``compile``; ``off`` runs the network as the bare model runs it.
    """
    geometry = {"patch_size": setting.patch_size, "target_mag": MAGNIFICATION, "precision": precision}
    geometry |= {"patch_encoders": [encoder_of(network).name]}
    runtime: dict[str, Any] = {"device": setting.device, "feature_batch_size": batch_size}
    runtime |= {"read_workers": setting.readers, "compile": rewriting}
    values = {"output": setting.output, "geometry": [geometry], "runtime": runtime, "plugins": [PLUGIN]}
    return make_project(values, origin="benchmark")


def place_patches(setting: Setting) -> int:
    """Make mask and coords of all slides, which later runs reuse; return how many patches they have."""
    recipe = make_recipe(project(setting, setting.networks[0], setting.precisions[0], setting.batch_size))
    _run(setting.slides, recipe, [stage.step for stage in recipe.stages if stage.encoder is None], force=False)
    return sum(len(coords_of(setting, slide)) for slide in setting.slides)


def coords_of(setting: Setting, slide: Path) -> Any:
    """Return the coords (n, 5) of a slide, as they are stored: x, y, width, height, level."""
    return read_array(setting.output / "patches" / f"{slide.stem}.h5", COORDS)


def encode(made: Project, slides: Sequence[Path]) -> None:
    """Run the pipeline over slides: features anew, of masks and coords that lie there."""
    features = [OutputKey("patch_features", name) for name in made.geometry[0].patch_encoders]
    _run(slides, make_recipe(made), features, force=True)


def _run(slides: Sequence[Path], recipe: Any, steps: list[OutputKey], *, force: bool) -> None:
    sources = [SlideSource(slide.stem, slide) for slide in slides]
    for outcome in process(sources, recipe, steps=steps, force=force):
        if outcome.status is Status.FAILED:
            raise RuntimeError(outcome.why)
