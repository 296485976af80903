"""Slides that come, change, go or cannot be used, told to Dagster: what one tick of the sensor asks for and reports."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from atlaspatch_assets.defs.slides.requests import TAGS, RequestedRuns
from atlaspatch_assets.lib.partitions import MOST_KEYS_PER_CALL, SLIDES, partition_keys
from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_assets.lib.verdicts import PROCESSED
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.arrival import (
    Arrival,
    ArrivalCursor,
    ArrivalState,
    ArrivalStatus,
    Budget,
    FolderScan,
    SlideInspector,
    scan_arrivals,
)
from atlaspatch_core.discovery.find import Discovery
from atlaspatch_core.discovery.stability import SECONDS_UNCHANGED
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import SLIDE

REMOVED = dg.DynamicPartitionsDefinition(name="slides_removed")
"""Slides whose file is gone, as Dagster remembers them: a set of names, no partitions of any asset."""
CLASHING = dg.DynamicPartitionsDefinition(name="slides_clashing")
"""Slides whose stem several files share, remembered in the same way."""

MOST_RUNS_PER_TICK = 20
"""Runs asked for at once; the slides beyond are new again at the next tick."""
SECONDS_PER_TICK = 20.0
"""Time for looking at files. Dagster ends a tick after 60 s."""
MOST_GONE_PER_TICK = 500
LATELY = timedelta(days=30)
MOST_RUNS_IN_VAIN = 500
"""Runs, the latest, whose slides are asked for again where they saw to none."""
ENDED_EARLY = (
    "was cancelled, or ended before it saw to them; of the latter another is asked for after 5, 10, 20 ... minutes, at "
    "most 8 times; `materialize_new` asks at once"
)
MOST_NAMED = 5
"""Folders that are named when they cannot be looked into."""
FEW_SLIDES = 10
"""So many slides may go at once; where more than that and half of all are gone, it is the storage that went."""

SLIDE_KEY = asset_key(SLIDE)
CHECK_KEY = dg.AssetCheckKey(SLIDE_KEY, PROCESSED)


@dataclass(slots=True)
class ArrivalTick:
    """What one tick found, and so asks for and reports."""

    look: FolderScan
    found: Discovery
    removed: list[str] = field(default_factory=list)
    """Slides that are gone since the last tick."""
    returned: list[str] = field(default_factory=list)
    """Slides that were gone and are there again."""
    clashing: dict[str, str] = field(default_factory=dict)
    """Stem to reason, of those that were not yet told."""
    cleared: list[str] = field(default_factory=list)
    """Slides that have their stem for themselves again."""
    gone: int = 0
    """Slides that cannot all have been removed: their storage went."""

    @property
    def ready(self) -> tuple[Arrival, ...]:
        """Slides to process."""
        return self.look.of(ArrivalStatus.READY)

    @property
    def refused(self) -> tuple[Arrival, ...]:
        """Slides that cannot be used."""
        return self.look.of(ArrivalStatus.REFUSED)


def take_tick(
    project: Project,
    instance: dg.DagsterInstance,
    found: Discovery,
    cursor: ArrivalCursor,
    seconds_at_rest: float = SECONDS_UNCHANGED,
) -> ArrivalTick:
    """Return what came, changed and went. Reads Dagster's storage, the files' times and the slides' records."""
    known, removed, clashing = (partition_keys(instance, keys) for keys in (SLIDES.definition, REMOVED, CLASHING))
    clashes = {clash.stem: str(clash.error) for clash in found.clashes}
    there = {source.stem for source in found.sources}
    returned, cleared = removed & (there | clashes.keys()), clashing & there
    store, changed_at = Store(project.output), _table_changed_at(project)
    again = returned | cleared | _left_behind(instance, store)
    what = ArrivalState(known, again, lambda: SLIDES.running(instance), refusals(instance))
    looker = SlideInspector(store, what, time.time, seconds_at_rest, changed_at, project.slides)
    look = scan_arrivals(found, looker, cursor, _budget(project))
    settled = {arrival.stem for arrival in look.arrivals if arrival.fate is not ArrivalStatus.WAITING}
    gone = sorted(known - there - clashes.keys() - removed)
    lost = len(gone) > max(FEW_SLIDES, len(known) / 2)
    return ArrivalTick(
        look,
        found,
        removed=[] if lost or found.unseen else gone[:MOST_GONE_PER_TICK],
        returned=sorted(returned & (settled | clashes.keys())),
        clashing={stem: why for stem, why in clashes.items() if stem not in clashing},
        cleared=sorted((cleared & settled) | (clashing - clashes.keys() - there)),
        gone=len(gone) if lost else 0,
    )


def result(tick: ArrivalTick, asked: RequestedRuns) -> dg.SensorResult:
    """Return the tick as Dagster takes it: runs, partitions, events and where the next one goes on."""
    return dg.SensorResult(
        run_requests=asked.requests,
        skip_reason=None if asked.requests else in_words(tick, asked),
        cursor=tick.look.cursor.text,
        dynamic_partitions_requests=list(_partitions(tick)),
        asset_events=list(_events(tick)),
    )


def versions(tick: ArrivalTick) -> dict[str, str]:
    """Return the slides to process, each with the version of its files."""
    return {arrival.stem: arrival.version for arrival in tick.ready}


def in_words(tick: ArrivalTick, asked: RequestedRuns) -> str:
    """Return what a tick found, for the page of the sensor."""
    gone = f"{tick.gone} slides are gone at once: their storage, it seems; nothing was marked"
    counts = (
        (len(tick.look.of(ArrivalStatus.WAITING)), "being copied, or processed already"),
        (len(asked.put_off), f"put off: their run {ENDED_EARLY}"),
        (len(tick.refused), "refused; their check says why"),
        (len(tick.found.clashes), "in two files of one stem; their check names the files"),
        (len(tick.found.left_out) - len(tick.found.unseen), "a link to nothing, or listed and not there"),
        (len(tick.removed), "gone; their outputs stay"),
    )
    unseen = f"nothing is taken for gone: {'; '.join(left.why for left in tick.found.unseen[:MOST_NAMED])}"
    told = [*([gone] if tick.gone else []), *([unseen] if tick.found.unseen else [])]
    parts = [*told, *(f"{count} {_slides(count)} {words}" for count, words in counts if count)]
    return "; ".join(parts) or f"nothing new: {len(tick.found.sources)} {_slides(len(tick.found.sources))}"


def _slides(count: int) -> str:
    return "slide" if count == 1 else "slides"


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
    verdicts = instance.event_log_storage.get_asset_check_partition_info([CHECK_KEY])
    failed = AssetCheckExecutionRecordStatus.FAILED
    return {it.partition_key for it in verdicts if it.partition_key and it.latest_execution_status is failed}


def _refused_version(instance: dg.DagsterInstance, stem: str) -> str:
    records = instance.event_log_storage.get_asset_check_execution_history(
        CHECK_KEY, limit=1, partition_filter=PartitionKeyFilter(key=stem)
    )
    for record in records:
        if record.evaluation and "version" in record.evaluation.metadata:
            return str(record.evaluation.metadata["version"].value)
    return ""


def removal(stem: str, removed: bool, why: str) -> dg.AssetObservation:
    """Return the observation that a slide's file went or came back; it carries no version, so nothing becomes stale."""
    return dg.AssetObservation(SLIDE_KEY, partition=stem, metadata={"removed": removed, "reason": why})


def refusal(stem: str, why: str, version: str = "") -> dg.AssetCheckEvaluation:
    """Return the failed check of a slide that cannot be used, with the reason and the version of its files."""
    return dg.AssetCheckEvaluation(
        asset_key=SLIDE_KEY,
        check_name=PROCESSED,
        passed=False,
        partition=stem,
        metadata={"reason": why, **({"version": version} if version else {})},
    )


def _left_behind(instance: dg.DagsterInstance, store: Store) -> set[str]:
    """Return the slides of runs that lately ended in vain before they looked at them: those have no record."""
    lately = datetime.now(UTC) - LATELY
    filters = dg.RunsFilter(tags=TAGS, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=lately)
    runs = instance.get_runs(filters=filters, limit=MOST_RUNS_IN_VAIN)
    stems = {stem for run in runs for stem in SLIDES.keys_of(run)}
    return {stem for stem in stems if not store.record(stem).exists()}


def _budget(project: Project) -> Budget:
    end = time.monotonic() + SECONDS_PER_TICK
    most = min(MOST_RUNS_PER_TICK * project.runtime.slides_per_run, MOST_KEYS_PER_CALL)
    return Budget(lambda: time.monotonic() > end, most)


def _table_changed_at(project: Project) -> float:
    tables = (project.slides.mpp_csv, project.slides.slide_list)
    return max((table.stat().st_mtime for table in tables if table and table.is_file()), default=0.0)


def _partitions(tick: ArrivalTick) -> Iterator[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    taken = [arrival.stem for arrival in (*tick.ready, *tick.refused)]
    for definition, stems in (
        (SLIDES.definition, [*taken, *tick.clashing]),
        (CLASHING, [*tick.clashing]),
        (REMOVED, tick.removed),
    ):
        if stems:
            yield definition.build_add_request(stems)
    for definition, stems in ((CLASHING, tick.cleared), (REMOVED, tick.returned)):
        if stems:
            yield definition.build_delete_request(stems)


def _events(tick: ArrivalTick) -> Iterator[dg.AssetCheckEvaluation | dg.AssetObservation]:
    yield from (refusal(arrival.stem, arrival.why, arrival.version) for arrival in tick.refused)
    yield from (refusal(stem, why) for stem, why in tick.clashing.items())
    yield from (removal(stem, True, "its file is gone; what was made of it stays") for stem in tick.removed)
    yield from (removal(stem, False, "its file is there again") for stem in tick.returned)
