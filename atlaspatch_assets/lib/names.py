"""What the parts of a project are called in Dagster, so that several projects have one instance and do not mix."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import dagster as dg

from atlaspatch_assets.lib.batches import in_batches
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.cohorts import common_cohort
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import STEP_VERSIONS, TISSUE_MASK

PROJECT_TAG = "atlaspatch/project"
"""Tag of the runs of a project that has a name."""
COHORT_TAG = "atlaspatch/cohort"
"""Tag of the runs over slides of one cohort, or of one folder that holds their cohorts."""
MATERIALIZE_STALE = "materialize_stale"
"""Name of the job that makes stale outputs anew."""
MATERIALIZE_FAILED = "materialize_failed"
"""Name of the job that tries failed outputs again."""
RETIRE_SLIDES = "retire_slides"
"""Name of the job that takes partitions away."""
PROCESSED = "processed"
"""Name of the check that every asset has: failed with the reason, and passed once the slide's output is valid again."""
TISSUE_QUALITY = "tissue_quality"
"""Name of the check on the tissue mask: failed where a number lies outside the project's bounds."""

LONGEST_TAG_NAME = 63
MOST_KEYS_PER_CALL = 10_000
"""SQLite refuses statements with more variables than 32,766 (its default), and every key is one."""


@dataclass(frozen=True, slots=True)
class ProjectNames:
    """The name of a project stands before every other; a project without one has these as they are."""

    prefix: str = ""
    geometries: frozenset[str] = frozenset()
    """Names of its geometries, which begin the keys of their assets."""

    @classmethod
    def of(cls, project: Project) -> Self:
        """Return what the parts of this project are called."""
        return cls(project.name or "", frozenset(geometry.name for geometry in project.geometry if geometry.name))

    def asset_key(self, step: OutputKey | str) -> dg.AssetKey:
        """Return the key of a step's asset: project, geometry, kind and encoder, without those that are empty.

        Dagster makes Python names of keys and knows how to for dots and dashes; ``+`` becomes ``_plus_``.
        """
        parts = [part.replace("+", "_plus_") for part in str(step).split("/")]
        return dg.AssetKey([self.prefix, *parts] if self.prefix else parts)

    def asset_keys(self, steps: Iterable[OutputKey]) -> list[dg.AssetKey]:
        """Return the keys of several."""
        return [self.asset_key(step) for step in steps]

    def check_key(self, step: OutputKey, check: str) -> dg.AssetCheckKey:
        """Return the key of a check of a step's asset."""
        return dg.AssetCheckKey(self.asset_key(step), check)

    def own_checks(self, keys: Iterable[dg.AssetKey]) -> list[dg.AssetCheckKey]:
        """Return the checks whose verdicts come with these assets.

        Of a run over some of its assets Dagster takes it that all their checks are meant, unless it says which: the
        audit and `valid` would be announced with every batch, and skipped.
        """
        keys, mask = list(keys), self.asset_key(TISSUE_MASK)
        quality = [dg.AssetCheckKey(mask, TISSUE_QUALITY)] if mask in keys else []
        return [*(dg.AssetCheckKey(key, PROCESSED) for key in keys), *quality]

    def label(self, word: str) -> str:
        """Return what a job, op, sensor or schedule is called; two projects or words never give the same.

        Dagster allows letters, digits and underscores. Neither has two of these in a row, so these part them.
        """
        return f"{self.prefix.replace('-', '__')}__{word}" if self.prefix else word

    def run_key(self, key: str) -> str:
        """Return a key of a run that no other project asks for."""
        return f"{self.prefix}/{key}" if self.prefix else key

    @property
    def tags(self) -> dict[str, str]:
        """Tags of all runs."""
        return {PROJECT_TAG: self.prefix} if self.prefix else {}

    @property
    def slides(self) -> "PartitionKind":
        """Slides, by stem."""
        return PartitionKind(self, "slide", "slides_to_embeddings", "process_slides")

    @property
    def cases(self) -> "PartitionKind":
        """Cases, by case_id."""
        return PartitionKind(self, "case", "cases_to_embeddings", "process_cases")

    @property
    def removed(self) -> dg.DynamicPartitionsDefinition:
        """Slides whose file is gone, as Dagster remembers them: a set of names, no partitions of any asset."""
        return self.partition_set("slides_removed")

    @property
    def clashing(self) -> dg.DynamicPartitionsDefinition:
        """Slides whose stem several files share, remembered in the same way."""
        return self.partition_set("slides_clashing")

    def partition_set(self, word: str) -> dg.DynamicPartitionsDefinition:
        """Return a set of partitions, or of names that Dagster remembers."""
        return dg.DynamicPartitionsDefinition(name=f"{self.prefix}/{word}" if self.prefix else word)

    def owns_asset(self, key: dg.AssetKey) -> bool:
        """Tell whether an asset is of this project."""
        first, *rest = key.path
        if self.prefix:
            return first == self.prefix and bool(rest)
        return first in STEP_VERSIONS or first in self.geometries


@dataclass(frozen=True, slots=True)
class PartitionKind:
    """What has one dynamic partition each, and the op and the job that process batches of it."""

    names: ProjectNames
    noun: str
    op: str
    job: str

    @property
    def plural(self) -> str:
        """The field of the run configuration that lists them."""
        return f"{self.noun}s"

    @property
    def definition(self) -> dg.DynamicPartitionsDefinition:
        """The partition set."""
        return self.names.partition_set(self.plural)

    @property
    def op_name(self) -> str:
        """The key of the run configuration."""
        return self.names.label(self.op)

    @property
    def job_name(self) -> str:
        """The job that processes batches."""
        return self.names.label(self.job)

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
        force: bool = False,
    ) -> dg.RunRequest:
        """Return the request for one run over these, which need not be neighbours; granted once per ``run_key``.

        Dagster's own ranges cover neighbours only, so one key stands for the run and the configuration lists them all.
        """
        return dg.RunRequest(
            run_key=self.names.run_key(run_key),
            job_name=self.job_name,
            partition_key=keys[0],
            run_config=self.config(keys, force=force),
            asset_selection=list(assets) if assets else None,
            asset_check_keys=self.names.own_checks(assets) if assets else None,
            tags={**(tags or {}), **self.names.tags, **self.run_tags(keys)},
        )

    def run_tags(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the tags by which a run over these is found by each of them: ``slide/<stem>`` with the stem as value.

        Dagster's keys have letters, digits, ``_``, ``.`` and ``-``, at most 63; others are replaced, and a hash added.
        """
        return {f"{self.noun}/{_tag_name(key)}": key for key in keys}

    def tagged_keys(self, run: dg.DagsterRun) -> set[str]:
        """Return those that a run has such tags of."""
        return {key for name, key in run.tags.items() if name.startswith(f"{self.noun}/")}


def cohort_tags(cohorts: Iterable[str]) -> dict[str, str]:
    """Return the tag of a run over slides of these cohorts; none where no one folder holds them."""
    cohort = common_cohort(cohorts)
    return {COHORT_TAG: cohort} if cohort else {}


def _tag_name(key: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", key)
    if name == key and len(name) <= LONGEST_TAG_NAME:
        return name
    return f"{name[: LONGEST_TAG_NAME - 17]}-{short_hash(key)}"


def partition_keys(instance: dg.DagsterInstance, definition: dg.DynamicPartitionsDefinition) -> set[str]:
    """Return the keys of a partition set that the instance knows."""
    return set(instance.get_dynamic_partitions(str(definition.name)))
