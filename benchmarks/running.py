"""How fast slides are encoded: the pipeline against a serial loop, against its bare model, one pass against three."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from openslide import OpenSlide

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.inference import set_threads
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.hdf5 import read_array
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.validity.outcome import OutputKey, Status
from atlaspatch_core.validity.recipe import make_recipe
from benchmarks.encoders import PLUGIN, SIDE, mean_colour, network
from benchmarks.measuring import Measure, in_turns, times_as_fast

BATCH = 32
THREADS = 2


def project(output: Path, *encoders: str, patch_size: int = 256, threads: int = 1) -> Project:
    """Return a project of one geometry at 20x; one thread of torch leaves the cores to reading."""
    geometry = {"patch_size": patch_size, "target_mag": 20, "patch_encoders": encoders, "precision": "float32"}
    runtime = {"device": "cpu", "threads": threads, "read_workers": THREADS, "feature_batch_size": BATCH}
    values = {"output": output, "geometry": [geometry], "runtime": runtime, "plugins": [PLUGIN]}
    return make_project(values, origin="benchmark")


def encode(slide: Path, made: Project, *, only_features: bool = True) -> None:
    """Run the pipeline on a slide, features anew; mask and coords are taken as they lie there."""
    names = made.geometry[0].patch_encoders
    steps = [OutputKey("patch_features", name) for name in names] if only_features else None
    for outcome in process([SlideSource(slide.stem, slide)], make_recipe(made), steps=steps, force=only_features):
        if outcome.status is Status.FAILED:
            raise RuntimeError(outcome.why)


def patches_of(slide: Path, made: Project) -> int:
    """Return how many patches a slide has."""
    return len(read_array(made.output / "patches" / f"{slide.stem}.h5", COORDS))


def serial_loop(slide: Path, made: Project, encoder: PatchEncoder) -> None:
    """Read patch by patch through OpenSlide and encode batch by batch, one after the other."""
    loaded = load_patch_encoder(encoder)
    coords = read_array(made.output / "patches" / f"{slide.stem}.h5", COORDS)
    features = []
    with OpenSlide(slide) as opened:
        for start in range(0, len(coords), BATCH):
            rows = coords[start : start + BATCH].tolist()
            regions = [opened.read_region((x, y), level, (w, h)).convert("RGB") for x, y, w, h, level in rows]
            features.append(loaded.encode(np.stack([np.asarray(region) for region in regions])))
    np.concatenate(features)


def read_bound(slide: Path, folder: Path, rounds: int) -> Iterator[Measure]:
    """Yield what the pipeline gains where reading takes the time."""
    one = project(folder / "one", "mean_one")
    three = project(folder / "three", "mean_one", "mean_two", "mean_three")
    singles = [project(folder / "three", name) for name in three.geometry[0].patch_encoders]
    for made in (one, three):
        encode(slide, made, only_features=False)
    pipeline, serial = in_turns(
        [lambda: encode(slide, one), lambda: serial_loop(slide, one, mean_colour("mean"))], rounds
    )
    count = patches_of(slide, one)
    detail = {"patches": count, "patches_per_second": round(count / median(pipeline)), "threads": THREADS}
    yield Measure("pipeline_over_serial_openslide", times_as_fast(pipeline, serial), ">= 7", detail=detail)
    together, apart = in_turns(
        [lambda: encode(slide, three), lambda: [encode(slide, single) for single in singles]], rounds
    )
    yield Measure("three_encoders_in_one_pass_over_three", times_as_fast(together, apart), ">= 2", detail=detail)


def model_bound(slide: Path, folder: Path, rounds: int) -> Measure:
    """Return how near the pipeline comes to its model alone, on tensors that lie in memory."""
    made = project(folder / "model", "bench_resnet50", patch_size=SIDE, threads=THREADS)
    encode(slide, made, only_features=False)
    loaded = load_patch_encoder(network("resnet50"))
    count = patches_of(slide, made)
    tensors = torch.rand(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(-(-count // len(tensors))):
                loaded.forward(tensors)

    pipeline, alone = in_turns([lambda: encode(slide, made), bare], rounds)
    detail = {"patches": count, "patches_per_second": round(count / median(pipeline), 1), "network": "resnet50"}
    return Measure("pipeline_over_bare_model", times_as_fast(pipeline, alone), ">= 0.95", detail=detail)


def bare_over_eager(encoder: PatchEncoder, goal: str, rounds: int) -> Measure:
    """Return how much faster our network is than timm's as it comes, float32, on the same tensors."""
    set_threads(THREADS)
    loaded = load_patch_encoder(encoder)
    architecture = encoder.architecture
    assert isinstance(architecture, TimmModel)
    eager = architecture.build(None).eval()
    pixels = torch.rand(BATCH, 3, SIDE, SIDE)
    ready = pixels.contiguous(memory_format=torch.channels_last)

    def ours() -> None:
        with torch.inference_mode():
            loaded.forward(ready)

    def default() -> None:
        with torch.inference_mode():
            eager(pixels)

    for _ in range(2):
        ours()
    quick, slow = in_turns([ours, default], max(3, rounds))
    rates = {"ours": round(BATCH / median(quick), 1), "eager": round(BATCH / median(slow), 1)}
    return Measure(f"bare_{encoder.name}_over_eager", times_as_fast(quick, slow), goal, detail=rates)


def measures(slide: Path, small: Path, folder: Path, rounds: int) -> Iterator[Measure]:
    """Yield every measure of encoding; ``slide`` is large enough to be bound by reading, ``small`` by the network."""
    set_threads(THREADS)
    yield from read_bound(slide, folder, rounds)
    yield model_bound(small, folder, rounds)
    yield bare_over_eager(network("resnet50"), ">= 1.5", rounds)
    yield bare_over_eager(find_patch_encoder("efficientnet_lite0"), ">= 3", rounds)
