"""``python -m website.hardware FILE``: write what encoders take, by the rates that ``atlaspatch estimate`` assumes."""

import sys
from pathlib import Path

from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.operations.estimate import USUAL_PATCHES
from atlaspatch_core.operations.network_costs import NETWORKS, assumed_patches_per_second

START, END = "<!-- what encoders take: written by 'make options' -->", "<!-- end of what encoders take -->"
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


def page_with_table(page: str) -> str:
    """Return the page with the table as it is now."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n\n{encoders_table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page_with_table(file.read_text(encoding="utf-8")), encoding="utf-8")
