"""``python -m website.network_costs``: count what the networks of patch encoders take, without weights.

Prints the lines of ``NETWORKS`` in ``atlaspatch_core/operations/network_costs.py``; it takes a minute.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.operations.network_costs import NetworkCost

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


if __name__ == "__main__":
    for name, encoder in PATCH_ENCODERS.items():
        try:
            found = count(encoder)
        except Exception as error:  # foreign code, of which nothing is known
            print(f"    # {name}: {error!r:.80}")
        else:
            print(f'    "{name}": NetworkCost({found.millions}, {found.gflop}),')
