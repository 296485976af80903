"""Slides and cases as Dagster partitions, and how a run is told which of them it processes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from atlaspatch_assets.lib.batches import in_batches
from atlaspatch_assets.lib.verdicts import own_checks

ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in ENDED]
MOST_KEYS_PER_CALL = 10_000
"""SQLite refuses statements with more variables than 32,766 (its default), and every key is one."""


@dataclass(frozen=True, slots=True)
class PartitionKind:
    """What has one dynamic partition each, and the op and the job that process batches of it."""

    noun: str
    definition: dg.DynamicPartitionsDefinition
    op_name: str
    """The key of the run configuration."""
    job_name: str

    @property
    def plural(self) -> str:
        """The field of the run configuration that lists them."""
        return f"{self.noun}s"

    def keys(self, instance: dg.DagsterInstance) -> set[str]:
        """Return all partitions that the instance knows."""
        return partition_keys(instance, self.definition)

    def register(self, instance: dg.DagsterInstance, keys: Iterable[str]) -> None:
        """Make sure that every key is a partition; known ones stay where they are."""
        for batch in in_batches(list(dict.fromkeys(keys)), MOST_KEYS_PER_CALL):
            instance.add_dynamic_partitions(str(self.definition.name), batch)

    def config(self, keys: Sequence[str], *, force: bool = False) -> dict[str, Any]:
        """Return the configuration of a run over these."""
        return {"ops": {self.op_name: {"config": {self.plural: list(keys), "force": force}}}}

    def request(
        self,
        keys: Sequence[str],
        run_key: str,
        *,
        tags: Mapping[str, str] | None = None,
        assets: Sequence[dg.AssetKey] | None = None,
    ) -> dg.RunRequest:
        """Return the request for one run over these, which need not be neighbours; granted once per ``run_key``.

        Dagster's own ranges cover neighbours only, so one key stands for the run and the configuration lists them all.
        """
        return dg.RunRequest(
            run_key=run_key,
            job_name=self.job_name,
            partition_key=keys[0],
            run_config=self.config(keys),
            asset_selection=list(assets) if assets else None,
            asset_check_keys=own_checks(assets) if assets else None,
            tags=dict(tags or {}),
        )

    def keys_of(self, run: dg.DagsterRun) -> set[str]:
        """Return those that a run lists, and the one that stands for it; none for a run of the other kind's job."""
        if run.job_name in {kind.job_name for kind in KINDS if kind != self}:
            return set()
        config: Any = run.run_config
        listed = config.get("ops", {}).get(self.op_name, {}).get("config", {}).get(self.plural, [])
        anchor = run.tags.get("dagster/partition")
        return {*listed, *([anchor] if anchor else [])}

    def running(self, instance: dg.DagsterInstance) -> set[str]:
        """Return those of all runs that have not ended."""
        runs = instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))
        return {key for run in runs for key in self.keys_of(run)}


SLIDES = PartitionKind("slide", dg.DynamicPartitionsDefinition(name="slides"), "slides_to_embeddings", "process_slides")
"""Keyed by stem."""
CASES = PartitionKind("case", dg.DynamicPartitionsDefinition(name="cases"), "cases_to_embeddings", "process_cases")
"""Keyed by case_id."""
KINDS = (SLIDES, CASES)


def partition_keys(instance: dg.DagsterInstance, definition: dg.DynamicPartitionsDefinition) -> set[str]:
    """Return the keys of a partition set that the instance knows."""
    return set(instance.get_dynamic_partitions(str(definition.name)))
