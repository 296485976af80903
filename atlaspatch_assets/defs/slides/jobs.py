"""The job: every asset, for the slides of a run."""

from typing import TYPE_CHECKING

import dagster as dg

from atlaspatch_assets.lib.batch_ops import batch_job
from atlaspatch_assets.lib.partitions import SLIDES

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def build_job(assets: dg.AssetsDefinition) -> "UnresolvedAssetJobDefinition":
    """Return the job that takes slides through all assets."""
    return batch_job(SLIDES, assets, "Takes a batch of slides from file to slide embedding, reusing what is valid.")
