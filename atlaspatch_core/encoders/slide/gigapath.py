"""Prov-GigaPath: LongNet over all patches of a slide (Xu et al. 2024, Nature)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder, StateDict
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.calling import as_batch

if TYPE_CHECKING:
    from torch.nn import Module

NAME = "gigapath"
PAGE = "https://huggingface.co/prov-gigapath/prov-gigapath"
LAYER = 11
"""Of the embeddings after the input and after each of the 12 layers, the one that is taken."""
TILE_SIZE = 256
"""Coords are divided by this inside the network, which was made for slides of 256 px a patch at level 0."""


@dataclass(frozen=True, slots=True)
class LongNet:
    """The slide encoder of the package ``gigapath``, with the mean over patches."""

    name: str = "gigapath_slide_enc12l768d"
    width: int = 1536

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the network with arbitrary weights; raises MissingExtra without the package.

        The package writes numbers of NumPy into a text and evaluates it, which needs them written as NumPy 1 does.
        """
        package = need("gigapath.slide_encoder", NAME, NAME)
        with np.printoptions(legacy="1.25"):
            return package.create_model("", self.name, self.width, global_pool=True)

    def spec(self) -> dict[str, Any]:
        """Return the network's name, and which layer's embedding is taken."""
        return {"gigapath": self.name, "width": self.width, "global_pool": True, "layer": LAYER}


@named("of_network")
def of_network(checkpoint: StateDict, network: StateDict) -> StateDict:
    """Return the checkpoint without what pretraining alone needed."""
    return {name: tensor for name, tensor in checkpoint.items() if name in network}


@named("encode_gigapath")
def encode_gigapath(
    network: Any, features: NDArray[np.float32], coords: NDArray[np.int64], patch_size_level0: int
) -> Any:
    """Return the embedding, shape (768,); coords go in as if a patch were 256 px wide, which is how they are read."""
    rows, corners = as_batch(network, features, coords)
    tile_size = int(getattr(network, "tile_size", TILE_SIZE))
    positions = corners // int(patch_size_level0) * tile_size
    return network(rows, positions, all_layer_embed=True)[LAYER].squeeze(0)


GIGAPATH = SlideEncoder(
    name=NAME,
    patch_encoder="prov_gigapath",
    dim=768,
    forward=encode_gigapath,
    architecture=LongNet(),
    source=HubWeights("prov-gigapath/prov-gigapath", ("slide_encoder.pth",), gated=True),
    adapt=of_network,
    precision="float16",
    license="Apache-2.0",
    gated=True,
    patch_size=256,
    magnification=20,
    extra=NAME,
    homepage=PAGE,
    note="LongNet over all patches; needs flash-attn, and so CUDA.",
)
GIGAPATH_FLASH = replace(
    GIGAPATH,
    name="gigapath-flash-slide",
    aliases=("gigapath_flash_slide",),
    patch_encoder="gigapath-flash",
    dim=384,
    architecture=LongNet("gigapath_slide_enc12l384d", 384),
    source=HubWeights("prov-gigapath/prov-gigapath-flash", ("slide_encoder.pth",), gated=True),
    homepage="https://huggingface.co/prov-gigapath/prov-gigapath-flash",
    note="LongNet of half the width, over gigapath-flash features; needs flash-attn, and so CUDA.",
    facts="scripts/run_panda_flash.sh and gigapath/tile_encoder.py of github.com/prov-gigapath/prov-gigapath",
)
