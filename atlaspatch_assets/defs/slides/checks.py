"""The checks of the assets: whether each output could be made, and whether a slide's tissue is as usual."""

from collections.abc import Sequence

import dagster as dg

from atlaspatch_assets.lib.partitions import SLIDES
from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_assets.lib.verdicts import PROCESSED, TISSUE_QUALITY
from atlaspatch_core.validity.recipe import TISSUE_MASK


def check_specs(specs: Sequence[dg.AssetSpec]) -> list[dg.AssetCheckSpec]:
    """Return the checks of these assets, one partition per slide."""
    return [*map(_processed, specs), *(_quality(spec) for spec in specs if spec.key == asset_key(TISSUE_MASK))]


def _processed(spec: dg.AssetSpec) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        PROCESSED,
        asset=spec.key,
        partitions_def=SLIDES,
        description="Whether the output of the slide could be made; if not, the reason. A slide that was materialised "
        "and never failed has no verdict.",
    )


def _quality(spec: dg.AssetSpec) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        TISSUE_QUALITY,
        asset=spec.key,
        partitions_def=SLIDES,
        description="Whether the tissue of the slide is as usual: its share, pieces, ink, blur and darkness, held "
        "against the bounds in [quality] of the project file. It warns; what [quality] blocks fails the slide. A slide "
        "that was never odd has no verdict.",
    )
