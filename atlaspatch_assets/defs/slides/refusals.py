"""Slides that cannot be used: the failed check that says so, and which slides have one at which version."""

from collections.abc import Callable

import dagster as dg

from atlaspatch_assets.dagster_internals import last_verdict, last_verdicts
from atlaspatch_assets.lib.names import PROCESSED, ProjectNames
from atlaspatch_core.validity.recipe import SLIDE


def refusal_verdict(names: ProjectNames, stem: str, why: str, version: str = "") -> dg.AssetCheckEvaluation:
    """Return the failed check of a slide that cannot be used, with the reason and the version of its files."""
    return dg.AssetCheckEvaluation(
        asset_key=names.asset_key(SLIDE),
        check_name=PROCESSED,
        passed=False,
        partition=stem,
        metadata={"reason": why, **({"version": version} if version else {})},
    )


def refused_versions(names: ProjectNames, instance: dg.DagsterInstance) -> Callable[[str], str | None]:
    """Return what tells at which version of its files a slide was refused, None for one that was not."""
    failed: set[str] | None = None

    def version(stem: str) -> str | None:
        nonlocal failed
        failed = failed_slides(names, instance) if failed is None else failed
        return _refused_version(names, instance, stem) if stem in failed else None

    return version


def failed_slides(names: ProjectNames, instance: dg.DagsterInstance) -> set[str]:
    """Return the slides whose last verdict on ``slide`` is a failed one; one query."""
    verdicts = last_verdicts(instance, names.check_key(SLIDE, PROCESSED))
    return {stem for stem, passed in verdicts.items() if passed is False}


def _refused_version(names: ProjectNames, instance: dg.DagsterInstance, stem: str) -> str:
    verdict = last_verdict(instance, names.check_key(SLIDE, PROCESSED), stem)
    return str(verdict.metadata["version"].value) if verdict and "version" in verdict.metadata else ""
