"""The check of the assets of cases: whether each embedding could be made."""

import dagster as dg

from atlaspatch_assets.lib.names import PROCESSED, ProjectNames


def processed_check(names: ProjectNames, spec: dg.AssetSpec) -> dg.AssetCheckSpec:
    """Return the check of an asset, one partition per case."""
    return dg.AssetCheckSpec(
        PROCESSED,
        asset=spec.key,
        partitions_def=names.cases.definition,
        description="Whether the embedding of the case could be made; if not, the reason.",
    )
