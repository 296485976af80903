"""The job: every asset, for the slides of a run."""

import dagster as dg

from atlaspatch_assets.dagster_internals import AssetJob
from atlaspatch_assets.lib.batch_ops import batch_job
from atlaspatch_assets.lib.names import PartitionKind


def build_job(slides: PartitionKind, assets: dg.AssetsDefinition) -> AssetJob:
    """Return the job that takes slides through all assets."""
    return batch_job(slides, assets, "Takes a batch of slides from file to slide embedding, reusing what is valid.")
