"""The sensor for edited masks: a person saves outlines, and what depends on them is computed anew."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import dagster as dg

from atlaspatch_assets.lib.batches import in_batches
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.names import PartitionKind, ProjectNames
from atlaspatch_assets.lib.stopped_runs import output_fault
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.storage.store import Store
from atlaspatch_core.texts import parse_json
from atlaspatch_core.validity.recipe import SLIDE, Recipe

SENSOR_NAME = "edited_masks"
SECONDS_AT_REST = 10.0
"""A file that changed later than this may still be written."""
MOST_RECORDS_PER_TICK = 2000
"""Slides looked at closely in one tick; the others come with the next."""
SUFFIX = ".geojson"
DESCRIPTION = (
    "Sees outlines in contours_geojson/ that a person saved, put there or deleted, and computes what depends on them "
    "anew: patches, features and embeddings of these slides alone."
)


@dataclass(frozen=True, slots=True, order=True)
class MaskFile:
    """A GeoJSON as it lies in the folder."""

    changed_ns: int
    """When its entry in the folder last changed: also for a file that was put back with its old modification time."""
    stem: str
    mtime_ns: int = field(compare=False)

    @property
    def version(self) -> str:
        """Tell one state of the file from another."""
        return f"{self.stem}\t{self.mtime_ns}"


@dataclass(frozen=True, slots=True)
class MaskCursor:
    """How far the sensor has looked. Losing it costs a look at every slide, and runs that find nothing to do."""

    changed_ns: int = 0
    stem: str = ""
    gone: tuple[str, ...] = ()
    """Masks whose GeoJSON was deleted, and that were asked for."""

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Return what was remembered, or a cursor at the very beginning where that is nothing or cannot be read."""
        try:
            values = parse_json(text or "")
            return cls(int(values["changed_ns"]), str(values["stem"]), tuple(map(str, values["gone"])))
        except (ValueError, KeyError, TypeError):
            return cls()

    def text(self) -> str:
        """Return what Dagster remembers."""
        return json.dumps({"changed_ns": self.changed_ns, "stem": self.stem, "gone": self.gone})


@dataclass(frozen=True, slots=True)
class MaskTick:
    """What one look at the folder found."""

    versions: dict[str, str]
    """Slide to the state of its GeoJSON, of those that a person changed or deleted."""
    cursor: MaskCursor


def build_edit_sensor(recipe: Recipe) -> dg.SensorDefinition:
    """Return the sensor for edited masks. It runs from the start; the Automation page of the UI switches it off."""
    store, slides_per_run = Store(recipe.project.output), recipe.project.runtime.slides_per_run
    names = ProjectNames.of(recipe.project)
    assets = names.asset_keys(stage.step for stage in recipe.stages if stage.step != SLIDE)

    @running_sensor(names, SENSOR_NAME, names.slides.job_name, DESCRIPTION)
    def edited_masks(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if fault := output_fault(recipe.project, context.instance):
            return dg.SkipReason(fault)
        stems = names.slides.keys(context.instance)
        tick = scan_masks(store, stems, MaskCursor.read(context.cursor), time.time_ns())
        batches = in_batches(list(tick.versions), slides_per_run)
        return dg.SensorResult(
            run_requests=[_build_request(names.slides, batch, tick, assets) for batch in batches],
            skip_reason=None if tick.versions else "no outlines were edited",
            cursor=tick.cursor.text(),
        )

    return edited_masks


def scan_masks(store: Store, stems: set[str], cursor: MaskCursor, now_ns: int) -> MaskTick:
    """Return which of the ``known`` slides have a GeoJSON that a person changed since the ``cursor``, or deleted.

    Our own files have the modification time that the slide's record names; a record is read only where the file's entry
    is new to the cursor. Files that are still being written, and all later ones, wait.
    """
    changes = sorted(_scan_folder(store.geojson("any").parent))
    since = (cursor.changed_ns, cursor.stem)
    rest = now_ns - int(SECONDS_AT_REST * 1e9)
    changed = [change for change in changes if since < (change.changed_ns, change.stem) and change.changed_ns <= rest]
    changed = changed[:MOST_RECORDS_PER_TICK]
    edited = {change.stem: change.version for change in changed if change.stem in stems and _is_edited(store, change)}
    deleted_masks = dict(_deleted_masks(store, stems - {change.stem for change in changes}, rest))
    deleted = {stem: version for stem, version in deleted_masks.items() if version not in cursor.gone}
    last = (changed[-1].changed_ns, changed[-1].stem) if changed else since
    return MaskTick(edited | deleted, MaskCursor(*last, gone=tuple(deleted_masks.values())))


def _scan_folder(folder: Path) -> Iterator[MaskFile]:
    """Yield the GeoJSON files of a folder, in any order; none where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                    state = entry.stat()
                    yield MaskFile(state.st_ctime_ns, entry.name.removesuffix(SUFFIX), state.st_mtime_ns)
    except FileNotFoundError:
        return


def _is_edited(store: Store, change: MaskFile) -> bool:
    """Tell whether a file is neither as we wrote it nor as it was taken over from another tool.

    One whose record cannot be read is left to a run, which says why.
    """
    try:
        record = store.read_record(change.stem)
    except AtlasPatchError:
        return True
    unedited = (record.tissue_mask, record.foreign_outlines)
    return all(outlines is None or outlines.mtime_ns != change.mtime_ns for outlines in unedited)


def _deleted_masks(store: Store, missing: Iterable[str], rest: int) -> Iterator[tuple[str, str]]:
    """Yield the slides of which we kept a mask, not just now, and which have no GeoJSON; with that mask's version."""
    recorded = sorted(stem for stem in missing if store.record(stem).is_file())
    for stem in recorded[:MOST_RECORDS_PER_TICK]:
        try:
            mask = store.read_record(stem).tissue_mask
        except AtlasPatchError:
            continue
        if mask is not None and mask.mtime_ns <= rest:
            yield stem, f"{stem}\tdeleted\t{mask.mtime_ns}"


def _build_request(
    slides: PartitionKind, stems: Sequence[str], tick: MaskTick, assets: Sequence[dg.AssetKey]
) -> dg.RunRequest:
    """Return the request for one run over these slides, from the mask downward.

    The same outlines have the same run key: they are asked for once.
    """
    key = short_hash("\n".join(tick.versions[stem] for stem in stems))
    return slides.request(stems, f"{SENSOR_NAME}-{key}", assets=assets)
