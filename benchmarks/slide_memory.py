"""Peak memory of slide encoders at 100,000 patches, each in a process: ``python -m benchmarks.slide_memory``.

Networks have seeded random weights, in float32 on the CPU. Told is what the process took beyond what it had before the
features were made; the features themselves, 4 bytes a number, are among it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.loaded import LoadedSlideEncoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.encoders.slide.attention import AttentionPool
from benchmarks.measuring import Measure
from benchmarks.memory import peak_kilobytes

PATCHES = 100_000
PATCH_SIDE = 512
"""Level-0 px."""
ABMIL = AttentionPool(1024, 512, 256)
"""As wide as CLAM's and most users' attention pooling."""
NAMES = (
    "mean-uni_v1",
    "max-uni_v1",
    "meanmax-uni_v1",
    "abmil-uni_v1",
    "feather",
    "feather_uni_v2",
    "chief",
    "eagle",
    "cobra2_conch_v1",
    "cobra2_uni_v1",
    "cobra2_virchow_v2",
    "cobra2_h_optimus_0",
)


def loaded(encoder: SlideEncoder) -> LoadedSlideEncoder:
    """Return a slide encoder with arbitrary weights, those of a seed."""
    import torch

    architecture = ABMIL if encoder.name.startswith("abmil-") else encoder.architecture
    if architecture is None:
        return LoadedSlideEncoder(encoder, "float32")
    torch.manual_seed(0)
    network = architecture.build(None).eval()
    return LoadedSlideEncoder(replace(encoder, dim=None), "float32", network, torch.device("cpu"))


def peak_of_pooling(name: str, patches: int) -> dict[str, float]:
    """Return megabytes of the features of a slide, and those that pooling them took in all."""
    import torch

    torch.set_num_threads(2)
    encoder = find_slide_encoder(name)
    model, before = loaded(encoder), peak_kilobytes()
    dims = [find_patch_encoder(patch_encoder).dim for patch_encoder in encoder.patch_encoders]
    widths = [dim for dim in dims if dim is not None]
    random, side = np.random.default_rng(0), int(patches**0.5) + 1
    features: tuple[NDArray[np.float32], ...] = tuple(
        random.standard_normal((patches, dim), np.float32) for dim in widths
    )
    coords = PATCH_SIDE * np.stack(np.divmod(np.arange(patches), side), axis=1)
    encode_slide(model, features if len(widths) > 1 else features[0], coords, PATCH_SIDE)
    of_features = sum(array.nbytes for array in features) / 1e6
    return {"features": of_features, "peak": (peak_kilobytes() - before) * 1024 / 1e6}


def measures(names: tuple[str, ...], patches: int) -> Iterator[Measure]:
    """Yield the peak of each encoder."""
    for name in names:
        command = [sys.executable, "-m", "benchmarks.slide_memory", "--one", name, "--patches", str(patches)]
        output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        found = json.loads(output.stdout)
        detail = {"patches": patches, "features_megabytes": round(found["features"])}
        yield Measure(f"slide_encoder_peak_{name}", round(found["peak"]), "", "megabytes", detail)


@click.command()
@click.option("--one", help="Measure this encoder, in this process.")
@click.option("--patches", default=PATCHES)
def main(one: str | None, patches: int) -> None:
    """Print one JSON line per slide encoder."""
    if one:
        click.echo(json.dumps(peak_of_pooling(one, patches)))
        return
    for measure in measures(NAMES, patches):
        click.echo(measure.line())


if __name__ == "__main__":
    main()
