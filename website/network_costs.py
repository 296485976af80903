"""``python -m website.network_costs``: count what the networks of patch encoders take, without weights.

Writes the lines of ``NETWORKS`` in ``atlaspatch_core/operations/network_costs.py``; it takes a minute.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.operations.network_costs import NetworkCost
from website.generated import GeneratedPart

USUAL_SIDE = 224
"""px of what a network takes whose transform does not say it."""


def count(encoder: PatchEncoder) -> NetworkCost:
    """Return what a network takes; raises whatever a network does that cannot be built or run without weights."""
    side = (encoder.transform.crop if encoder.transform else None) or encoder.patch_size or USUAL_SIDE
    with torch.device("meta"), torch.inference_mode():
        network = encoder.architecture.build(None).eval()
        with FlopCounterMode(display=False) as counter:
            encoder.pooling(network, torch.zeros(1, 3, side, side))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkCost(round(parameters / 1e6, 1), round(counter.get_total_flops() / 1e9, 1))


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
