"""The job: every asset, for the slides of a run."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOB_NAME = "process_slides"


def build_job(assets: dg.AssetsDefinition) -> "UnresolvedAssetJobDefinition":
    """Return the job that takes slides through all assets and the checks that come with them.

    Checks that look at outputs by themselves have jobs of their own.
    """
    return dg.define_asset_job(
        JOB_NAME,
        selection=dg.AssetSelection.assets(assets).without_checks() | dg.AssetSelection.checks(*assets.check_keys),
        description="Takes a batch of slides from file to slide embedding, reusing what is valid.",
    )
