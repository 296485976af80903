"""``python -m website.network_costs``: count what the networks of patch encoders take, without weights.

Writes the lines of ``NETWORKS`` in ``atlaspatch_core/operations/network_costs.py``; it takes two minutes and 5 GB.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from timm import create_model
from torch.nn import Module
from torch.utils.flop_counter import FlopCounterMode

from atlaspatch_core.encoders.declaration import PatchEncoder, Pooling
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.preprocessing import input_side
from atlaspatch_core.operations.network_costs import NetworkCost
from website.generated import GeneratedPart

USUAL_SIDE = 224
"""px of what a network takes whose transform does not say it."""


class Alike(NamedTuple):
    """A network of timm of the layout that another's makers describe."""

    model: str
    patch_size: int
    """px, of a token."""
    runs: int = 1
    """For a patch."""

    def build(self, side: int) -> Module:
        """Return the network, for patches of so many px."""
        return create_model(self.model, img_size=side, patch_size=self.patch_size, num_classes=0)


ALIKE: Mapping[str, Alike] = {
    "conch_v1": Alike("vit_base_patch16_224", 16),
    "conch_v15": Alike("vit_large_patch16_224", 16),
    "hibou_b": Alike("vit_base_patch14_reg4_dinov2", 14),
    "hibou_l": Alike("vit_large_patch14_reg4_dinov2", 14),
    "musk": Alike("vit_large_patch16_384", 16, runs=5),
    "musk_single_scale": Alike("vit_large_patch16_384", 16),
    "keep": Alike("vit_large_patch16_224", 16),
    "rudolfv2": Alike("vit_giant_patch14_reg4_dinov2", 8),
    "rudolfv2-b": Alike("vit_base_patch14_reg4_dinov2", 8),
    "rudolfv2-s": Alike("vit_small_patch14_reg4_dinov2", 8),
    "phaet": Alike("vit_large_patch16_224", 16),
    "mascaret": Alike("vit_giant_patch14_dinov2", 14),
    "omiclip": Alike("vit_large_patch14_clip_224", 14),
    "medsiglip": Alike("vit_so400m_patch14_siglip_224", 14),
    "conceptclip": Alike("vit_so400m_patch14_siglip_224", 14),
    "c-radiov2-g": Alike("vit_giant_patch14_dinov2", 14),
}
"""Networks of which nothing can be counted without weights, or without their makers' code."""
ASK_FOR_VALUES = ("gemma4-e4b", "gemma4-26b")
"""Networks that look at their input's values, which a tensor on ``meta`` does not have: they really run, once."""


def count(encoder: PatchEncoder) -> NetworkCost:
    """Return what a network takes; raises whatever a network does that cannot be built or run without weights."""
    side = input_side(encoder.transform) or encoder.patch_size or USUAL_SIDE
    if alike := ALIKE.get(encoder.name) or ALIKE.get(encoder.network):
        return _count(partial(alike.build, side), Module.__call__, side, alike.runs)
    device = "cpu" if encoder.name in ASK_FOR_VALUES else "meta"
    return _count(partial(encoder.architecture.build, None), encoder.pooling, side, device=device)


def _count(
    build: Callable[[], Module], pooling: Pooling, side: int, runs: int = 1, device: str = "meta"
) -> NetworkCost:
    with torch.device(device), torch.inference_mode():
        network = build().eval()
        with FlopCounterMode(display=False) as counter:
            pooling(network, torch.zeros(1, 3, side, side))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkCost(round(parameters / 1e6, 1), round(runs * counter.get_total_flops() / 1e9, 1))


def network_lines() -> str:
    """Return the lines of all networks that can be counted; those of others are left out, for nothing is known."""
    return "\n".join(filter(None, map(_line, PATCH_ENCODERS.values())))


def _line(encoder: PatchEncoder) -> str:
    try:
        cost = count(encoder)
    except Exception:  # code of others, of which nothing is known
        return ""
    return f'    "{encoder.name}": NetworkCost({cost.millions}, {cost.gflop}),'


NETWORK_COSTS = GeneratedPart(
    "atlaspatch_core/operations/network_costs.py",
    "    # written by 'make options', network by network",
    "    # end of what is written",
    network_lines,
    gap="\n",
)

if __name__ == "__main__":
    NETWORK_COSTS.write()
