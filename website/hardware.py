"""``python -m website.hardware``: write what encoders take, by the rates that ``atlaspatch estimate`` assumes."""

from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.operations.network_costs import NETWORKS, assumed_patches_per_second
from atlaspatch_core.operations.patch_counts import USUAL_PATCHES
from website.generated import GeneratedPart

SLIDES = 1000
HEAD = """| encoder | million parameters | weights, GB | GFLOP a patch | hours, 2 cores | hours, a GPU | features, GB |
|---|---|---|---|---|---|---|"""


def encoders_table() -> str:
    """Return a row an encoder, for 1,000 slides."""
    return "\n".join([HEAD, *(row(name) for name in NETWORKS)])


def row(name: str) -> str:
    """Return the row of an encoder."""
    network, dim = NETWORKS[name], PATCH_ENCODERS[name].dim or 0
    patches = SLIDES * USUAL_PATCHES
    hours = [patches / assumed_patches_per_second(name, on_gpu) / 3600 for on_gpu in (False, True)]
    cells = (f"{network.millions:,.1f}", f"{network.gigabytes:.2f}", f"{network.gflop:,.1f}", f"{hours[0]:,.0f}")
    return f"| `{name}` | {' | '.join(cells)} | {hours[1]:,.1f} | {patches * dim * 4 / 1e9:.1f} |"


HARDWARE = GeneratedPart(
    "docs/hardware.md",
    "<!-- what encoders take: written by 'make options' -->",
    "<!-- end of what encoders take -->",
    encoders_table,
)

if __name__ == "__main__":
    HARDWARE.write()
