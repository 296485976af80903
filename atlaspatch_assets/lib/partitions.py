"""The slides as Dagster partitions: one dynamic partition per slide, keyed by its stem."""

from collections.abc import Iterable

import dagster as dg

SLIDES = dg.DynamicPartitionsDefinition(name="slides")

MOST_KEYS_PER_CALL = 10_000
"""SQLite refuses statements with more variables than 32,766 (its default), and every key is one."""


def register(
    instance: dg.DagsterInstance, stems: Iterable[str], among: dg.DynamicPartitionsDefinition = SLIDES
) -> None:
    """Make sure that every stem is a partition, of the slides by default; known ones stay where they are."""
    keys = list(dict.fromkeys(stems))
    for start in range(0, len(keys), MOST_KEYS_PER_CALL):
        instance.add_dynamic_partitions(str(among.name), keys[start : start + MOST_KEYS_PER_CALL])
