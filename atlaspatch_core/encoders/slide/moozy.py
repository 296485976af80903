"""MOOZY: one embedding for all slides of a patient, or for one slide (arXiv:2603.27048).

The package ``moozy`` takes files, fetches its own weights, and limits the patches of a slide by the memory of the
device, so that embeddings of very large slides depend on it.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.encoders.weights import BuiltIn
from atlaspatch_core.errors import MissingExtra

if TYPE_CHECKING:
    from torch.nn import Module

NAME = "moozy"
VERSION = "0.1.1"
PATCH_ENCODER = "lunit_vit_small_patch8_dino"
PATCH_SIZE = 224
MAGNIFICATION = 20
DIM = 768
LICENSE = "CC-BY-NC-SA-4.0"
HOMEPAGE = "https://github.com/AtlasAnalyticsLab/MOOZY"

SlideOfCase = tuple[NDArray[np.float32], NDArray[np.int64], int]
"""Features (n, 384), coords (n, 2) in level-0 px, and the side of a patch in level-0 px."""


@dataclass(frozen=True, slots=True)
class MoozyPackage:
    """The package, in the one version whose numbers are known."""

    version: str = VERSION

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the package as a network; raises MissingExtra without it, or with another version."""
        encoding = need("moozy.encoding", NAME, NAME)
        try:
            there = version(NAME)
        except PackageNotFoundError:
            there = "unknown"
        if there != self.version:
            raise MissingExtra(f"{NAME}: moozy {there} is installed, {self.version} is needed; run: {self._cure()}")
        return _as_network(encoding.run_encoding)

    def _cure(self) -> str:
        return f"pip install {NAME}=={self.version}"

    def spec(self) -> dict[str, Any]:
        """Return the package and its version; it stands for the weights too, which the package fetches."""
        return {"package": f"{NAME}=={self.version}"}


@named("encode_moozy")
def encode_moozy(
    network: Any, features: NDArray[np.float32], coords: NDArray[np.int64], patch_size_level0: int
) -> NDArray[np.float32]:
    """Return the embedding of a slide, shape (768,): that of a case of one slide."""
    return encode_case(network, [(features, coords, patch_size_level0)])


def encode_case(network: Any, slides: Iterable[SlideOfCase]) -> NDArray[np.float32]:
    """Return the embedding of a case, shape (768,), from its slides that have patches, in their order."""
    import h5py

    with tempfile.TemporaryDirectory(prefix="atlaspatch_moozy_") as folder:
        paths = [_write(Path(folder) / f"slide_{index:05d}.h5", *slide) for index, slide in enumerate(slides)]
        result = Path(folder) / "case.h5"
        network.run_encoding([str(path) for path in paths], str(result), mixed_precision=False)
        with h5py.File(result) as file:
            return np.asarray(file["features"], np.float32).reshape(-1)


def _write(path: Path, features: NDArray[np.float32], coords: NDArray[np.int64], patch_size_level0: int) -> Path:
    """Write a slide as the package reads it: the layout of AtlasPatch, with the attributes on file and coords."""
    import h5py

    sizes = {"patch_size": PATCH_SIZE, "patch_size_level0": int(patch_size_level0)}
    with h5py.File(path, "w") as file:
        file[f"features/{PATCH_ENCODER}"] = features
        file["coords"] = coords[:, :2].astype(np.int32)
        for attributes in (file.attrs, file["coords"].attrs):
            attributes.update(sizes)
    return path


def _as_network(run_encoding: Callable[..., None]) -> "Module":
    import torch

    class MoozyNetwork(torch.nn.Module):
        """Holds the package's function; the package puts its model on a device by itself."""

        def run_encoding(self, slide_paths: list[str], output_path: str, **options: Any) -> None:
            with torch.inference_mode(False):
                run_encoding(slide_paths, output_path, **options)

    return MoozyNetwork()


MOOZY = SlideEncoder(
    name=NAME,
    patch_encoder=PATCH_ENCODER,
    dim=DIM,
    forward=encode_moozy,
    architecture=MoozyPackage(),
    source=BuiltIn(),
    license=LICENSE,
    patch_size=PATCH_SIZE,
    magnification=MAGNIFICATION,
    extra=NAME,
    homepage=HOMEPAGE,
    note="Made for patients; here a patient of one slide. Needs patches that do not overlap.",
)
