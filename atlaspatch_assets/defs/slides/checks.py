"""The checks of the assets: whether each output could be made, and whether a slide's tissue is as usual."""

from collections.abc import Sequence

import dagster as dg

from atlaspatch_assets.lib.declaring import check_specs
from atlaspatch_assets.lib.names import PROCESSED, TISSUE_QUALITY, ProjectNames
from atlaspatch_core.validity.recipe import TISSUE_MASK

OF_OUTPUT = (
    "Whether the output of the slide could be made; if not, the reason. A slide that was materialised and never failed "
    "has no verdict."
)
OF_TISSUE = (
    "Whether the tissue of the slide is as usual: its share, pieces, ink, blur and darkness, held against the bounds "
    "in [quality] of the project file. It warns; what [quality] blocks fails the slide. A slide that was never odd has "
    "no verdict."
)


def build_check_specs(names: ProjectNames, specs: Sequence[dg.AssetSpec]) -> list[dg.AssetCheckSpec]:
    """Return the checks of these assets, one partition per slide."""
    keys, mask = [spec.key for spec in specs], names.asset_key(TISSUE_MASK)
    return [
        *check_specs(names.slides, PROCESSED, keys, OF_OUTPUT),
        *check_specs(names.slides, TISSUE_QUALITY, {mask}.intersection(keys), OF_TISSUE),
    ]
