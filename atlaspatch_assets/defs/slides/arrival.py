"""Slides that come, change, go or cannot be used, told to Dagster: what one tick of the sensor asks for and reports."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg

from atlaspatch_assets.defs.slides.refusals import refusal_verdict, refused_versions
from atlaspatch_assets.defs.slides.requests import TAGS, RequestedRuns
from atlaspatch_assets.lib.failures import REPLACED, failure_observation
from atlaspatch_assets.lib.names import MOST_KEYS_PER_CALL, ProjectNames, partition_keys
from atlaspatch_assets.lib.project_runs import busy_keys
from atlaspatch_assets.lib.vain_runs import keys_of_failed_runs
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.arrival import ArrivalCursor, Budget, FolderScan, scan_arrivals
from atlaspatch_core.discovery.slide_inspector import Arrival, ArrivalState, ArrivalStatus, SlideInspector
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.discovery.stability import SECONDS_UNCHANGED
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import SLIDE

MOST_RUNS_PER_TICK = 20
"""Runs asked for at once; the slides beyond are new again at the next tick."""
SECONDS_PER_TICK = 20.0
"""Time for looking at files. Dagster ends a tick after 60 s."""
MOST_GONE_PER_TICK = 500
ENDED_EARLY = (
    "was cancelled, or ended before it saw to them; of the latter another is asked for after 5, 10, 20 ... minutes, at "
    "most 8 times; `{job}` asks at once"
)
MOST_NAMED = 5
"""Folders that are named when they cannot be looked into."""
FEW_SLIDES = 10
"""So many slides may go at once; where more than that and half of all are gone, it is the storage that went."""


@dataclass(slots=True)
class ArrivalTick:
    """What came, changed and went since the last tick."""

    names: ProjectNames
    scan: FolderScan
    discovery: Discovery
    removed: list[str] = field(default_factory=list)
    """Slides that are gone since the last tick."""
    returned: list[str] = field(default_factory=list)
    """Slides that were gone and are there again."""
    clashing: dict[str, str] = field(default_factory=dict)
    """Stem to reason, of those that were not yet reported."""
    cleared: list[str] = field(default_factory=list)
    """Slides that have their stem for themselves again."""
    lost: int = 0
    """Slides that cannot all have been removed: their storage went."""

    @property
    def ready(self) -> tuple[Arrival, ...]:
        """Slides to process."""
        return self.scan.of(ArrivalStatus.READY)

    @property
    def refused(self) -> tuple[Arrival, ...]:
        """Slides that cannot be used."""
        return self.scan.of(ArrivalStatus.REFUSED)


def scan_project(
    project: Project,
    instance: dg.DagsterInstance,
    discovery: Discovery,
    cursor: ArrivalCursor,
    seconds_at_rest: float = SECONDS_UNCHANGED,
) -> ArrivalTick:
    """Return what came, changed and went. Reads Dagster's storage, the files' times and the slides' records."""
    names = ProjectNames.of(project)
    sets = (names.slides.definition, names.removed, names.clashing)
    partitions, removed, clashing = (partition_keys(instance, definition) for definition in sets)
    clashes = {clash.stem: str(clash.error) for clash in discovery.clashes}
    sources = {source.stem for source in discovery.sources}
    returned, cleared = removed & (sources | clashes.keys()), clashing & sources
    store = Store(project.output)
    again = returned | cleared | _slides_of_vain_runs(names, instance, store)
    refused = refused_versions(names, instance)
    state = ArrivalState(partitions, again, lambda: busy_keys(names.slides, instance), refused)
    changed_at = _table_changed_at(project)
    inspector = SlideInspector(store, state, time.time, seconds_at_rest, changed_at, project.slides)
    scan = scan_arrivals(discovery, inspector, cursor, _budget(project))
    decided = {arrival.stem for arrival in scan.arrivals if arrival.fate is not ArrivalStatus.WAITING}
    missing = sorted(partitions - sources - clashes.keys() - removed)
    storage_lost = len(missing) > max(FEW_SLIDES, len(partitions) / 2)
    return ArrivalTick(
        names,
        scan,
        discovery,
        removed=[] if storage_lost or discovery.unseen else missing[:MOST_GONE_PER_TICK],
        returned=sorted(returned & (decided | clashes.keys())),
        clashing={stem: why for stem, why in clashes.items() if stem not in clashing},
        cleared=sorted((cleared & decided) | (clashing - clashes.keys() - sources)),
        lost=len(missing) if storage_lost else 0,
    )


def sensor_result(tick: ArrivalTick, runs: RequestedRuns) -> dg.SensorResult:
    """Return the tick as Dagster takes it: runs, partitions, events and where the next one goes on."""
    return dg.SensorResult(
        run_requests=runs.requests,
        skip_reason=None if runs.requests else describe_tick(tick, runs),
        cursor=tick.scan.cursor.text,
        dynamic_partitions_requests=list(_partition_requests(tick)),
        asset_events=list(_observations(tick)),
    )


def refusal_verdicts(tick: ArrivalTick) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the failed checks of slides that cannot be used."""
    yield from (refusal_verdict(tick.names, arrival.stem, arrival.why, arrival.version) for arrival in tick.refused)
    yield from (refusal_verdict(tick.names, stem, why) for stem, why in tick.clashing.items())


def refusal_reasons(tick: ArrivalTick) -> list[dg.AssetObservation]:
    """Return what the pages of slides say that cannot be used."""
    refused = [*((arrival.stem, arrival.why) for arrival in tick.refused), *tick.clashing.items()]
    return [failure_observation(tick.names, SLIDE, stem, why, cure=REPLACED) for stem, why in refused]


def ready_versions(tick: ArrivalTick) -> dict[str, str]:
    """Return the slides to process, each with the version of its files."""
    return {arrival.stem: arrival.version for arrival in tick.ready}


def describe_tick(tick: ArrivalTick, runs: RequestedRuns) -> str:
    """Return what a tick found, for the page of the sensor."""
    lost = f"{tick.lost} slides are gone at once: their storage, it seems; nothing was marked"
    ended_early = ENDED_EARLY.format(job=tick.names.label("materialize_new"))
    counts = (
        (len(tick.scan.of(ArrivalStatus.WAITING)), "being copied, or processed already"),
        (len(runs.put_off), f"put off: their run {ended_early}"),
        (len(tick.refused), "refused; their check says why"),
        (len(tick.discovery.clashes), "in two files of one stem; their check names the files"),
        (
            sum(not entry.is_folder and not entry.is_count for entry in tick.discovery.left_out),
            "a link to nothing, listed and not there, or of a name that results cannot carry",
        ),
        (len(tick.removed), "gone; their outputs stay"),
    )
    unseen = f"nothing is taken for gone: {'; '.join(unseen.why for unseen in tick.discovery.unseen[:MOST_NAMED])}"
    storage = [*([lost] if tick.lost else []), *([unseen] if tick.discovery.unseen else [])]
    hidden = [entry.why for entry in tick.discovery.left_out if entry.is_count]
    parts = [*storage, *hidden, *(f"{count} {_slide_word(count)} {words}" for count, words in counts if count)]
    return "; ".join(parts) or f"nothing new: {len(tick.discovery.sources)} {_slide_word(len(tick.discovery.sources))}"


def _slide_word(count: int) -> str:
    return "slide" if count == 1 else "slides"


def removal_observation(names: ProjectNames, stem: str, removed: bool, why: str) -> dg.AssetObservation:
    """Return the observation that a slide's file went or came back; it carries no version, so nothing becomes stale."""
    metadata = {"removed": removed, "reason": why}
    return dg.AssetObservation(names.asset_key(SLIDE), partition=stem, metadata=metadata)


def _slides_of_vain_runs(names: ProjectNames, instance: dg.DagsterInstance, store: Store) -> set[str]:
    """Return the slides of runs that lately ended in vain before they looked at them: those have no record."""
    failed = keys_of_failed_runs(names.slides, instance, TAGS)
    return {stem for stem in failed if not store.record(stem).exists()}


def _budget(project: Project) -> Budget:
    end = time.monotonic() + SECONDS_PER_TICK
    most = min(MOST_RUNS_PER_TICK * project.runtime.slides_per_run, MOST_KEYS_PER_CALL)
    return Budget(lambda: time.monotonic() > end, most)


def _table_changed_at(project: Project) -> float:
    tables = (project.slides.mpp_csv, project.slides.slide_list)
    return max((table.stat().st_mtime for table in tables if table and table.is_file()), default=0.0)


def _partition_requests(
    tick: ArrivalTick,
) -> Iterator[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    names, arrived = tick.names, [arrival.stem for arrival in (*tick.ready, *tick.refused)]
    for definition, stems in (
        (names.slides.definition, [*arrived, *tick.clashing]),
        (names.clashing, [*tick.clashing]),
        (names.removed, tick.removed),
    ):
        if stems:
            yield definition.build_add_request(stems)
    for definition, stems in ((names.clashing, tick.cleared), (names.removed, tick.returned)):
        if stems:
            yield definition.build_delete_request(stems)


def _observations(tick: ArrivalTick) -> Iterator[dg.AssetObservation]:
    """Yield what the pages of slides say that went or came back."""
    gone, back = "its file is gone; what was made of it stays", "its file is there again"
    yield from (removal_observation(tick.names, stem, True, gone) for stem in tick.removed)
    yield from (removal_observation(tick.names, stem, False, back) for stem in tick.returned)
