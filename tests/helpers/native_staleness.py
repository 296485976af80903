"""Dagster's own staleness of a partition, with which ours has to agree; it has no public door."""

from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus  # noqa: TID251
from dagster._core.loader import LoadingContextForTest  # noqa: TID251

__all__ = ["CachingStaleStatusResolver", "LoadingContextForTest", "StaleStatus"]
