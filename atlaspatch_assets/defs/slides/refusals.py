"""Slides that cannot be used: the failed check that says so, and which slides have one at which version."""

from collections.abc import Callable

import dagster as dg

from atlaspatch_assets.dagster_internals import last_verdict, last_verdicts
from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_assets.lib.verdicts import PROCESSED
from atlaspatch_core.validity.recipe import SLIDE

SLIDE_KEY = asset_key(SLIDE)
CHECK_KEY = dg.AssetCheckKey(SLIDE_KEY, PROCESSED)


def refusal(stem: str, why: str, version: str = "") -> dg.AssetCheckEvaluation:
    """Return the failed check of a slide that cannot be used, with the reason and the version of its files."""
    return dg.AssetCheckEvaluation(
        asset_key=SLIDE_KEY,
        check_name=PROCESSED,
        passed=False,
        partition=stem,
        metadata={"reason": why, **({"version": version} if version else {})},
    )


def refusals(instance: dg.DagsterInstance) -> Callable[[str], str | None]:
    """Return what tells at which version of its files a slide was refused, None for one that was not."""
    failed: set[str] | None = None

    def version(stem: str) -> str | None:
        nonlocal failed
        failed = failed_slides(instance) if failed is None else failed
        return _refused_version(instance, stem) if stem in failed else None

    return version


def failed_slides(instance: dg.DagsterInstance) -> set[str]:
    """Return the slides whose last verdict on ``slide`` is a failed one; one query."""
    return {stem for stem, passed in last_verdicts(instance, CHECK_KEY).items() if passed is False}


def _refused_version(instance: dg.DagsterInstance, stem: str) -> str:
    verdict = last_verdict(instance, CHECK_KEY, stem)
    return str(verdict.metadata["version"].value) if verdict and "version" in verdict.metadata else ""
