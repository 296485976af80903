"""Slides whose files are gone: what goes with their partitions, and what is said of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from atlaspatch_assets.lib.names import ProjectNames, partition_keys
from atlaspatch_assets.lib.results import table_metadata
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.search import root_of
from atlaspatch_core.errors import InvalidProject, NoSlides, UnknownName, UnseenSlides
from atlaspatch_core.operations.tracking.states import is_state_of
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.storage.atomic import slide_lock
from atlaspatch_core.storage.store import Store
from atlaspatch_core.wording import format_count


@dataclass(frozen=True, slots=True)
class Retirement:
    """One slide that goes."""

    stem: str
    files: tuple[Path, ...]
    """What was made of it."""

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(file.stat().st_size for file in self.files if file.exists())


def choose_slides(names: ProjectNames, instance: dg.DagsterInstance, stems: Sequence[str]) -> list[str]:
    """Return the slides to retire: those that are named, or all that are marked. Raises UnknownName."""
    partitions = names.slides.keys(instance)
    if unknown := [stem for stem in stems if stem not in partitions]:
        raise UnknownName(f"{', '.join(unknown)}: no partition has this name; the page of `slide` lists them")
    return list(stems) or sorted(partition_keys(instance, names.removed))


def plan_retirement(project: Project, stems: Sequence[str]) -> list[Retirement]:
    """Return what would go. Raises InvalidProject for a slide whose file is there: the sensor would bring it back."""
    in_folders = _slides_in_folders(project)
    if present := [stem for stem in stems if stem in in_folders]:
        raise InvalidProject(
            f"{', '.join(present)}: the slide's file is in the project's folders, and would come back at once; "
            "move the file away first"
        )
    return [Retirement(stem, tuple(outputs_of(project, stem))) for stem in stems]


def _slides_in_folders(project: Project) -> set[str]:
    """Return the slides in the project's folders. Raises InvalidProject when a folder cannot be looked into."""
    if missing := [shown_path(folder) for folder in project.slides.folders if not root_of(folder).exists()]:
        raise InvalidProject(f"{', '.join(missing)}: not there, so none can be told to be gone; mount it first")
    try:
        discovery = find_slides(project)
    except UnseenSlides as error:
        raise InvalidProject(f"no slide can be told to be gone: {error}") from error
    except NoSlides:
        return set()
    if discovery.unseen:
        raise InvalidProject(f"no slide can be told to be gone: {'; '.join(unseen.why for unseen in discovery.unseen)}")
    return set(discovery.paths)


def outputs_of(project: Project, stem: str) -> Iterator[Path]:
    """Yield the files that were made of a slide."""
    store = Store(project.output)
    names = ["", *(geometry.name for geometry in project.geometry if geometry.name)]
    shared = [store.geojson(stem), store.record(stem), store.thumbnail(stem), store.contours(stem)]
    kinds = ("", "_mask", "_mask_bw", "_contours")
    of_geometry = [
        *(store.h5(stem, name) for name in names),
        *(store.visualization(stem, name, kind=kind) for name in names for kind in kinds),
        *(store.small_picture(stem, kind, name) for name in names for kind in ("mask", "coords")),
    ]
    yield from (file for file in (*shared, *of_geometry) if file.is_file())
    yield from (file for file in sorted(store.state("any").parent.glob("*.json")) if is_state_of(file, stem))
    for name in names:
        yield from sorted(store.patch_images(stem, name).glob("*.png"))
        yield from (file for file in sorted(store.dumped_patches(stem, name).glob("*")) if file.is_file())


def plan_lines(plan: Sequence[Retirement], *, dry_run: bool, delete_outputs: bool) -> Iterator[str]:
    """Yield what goes, or would go, one line a slide, and the sum."""
    removed, fate = "would be removed" if dry_run else "removed", _describe_fate(dry_run, delete_outputs)
    for slide in plan:
        yield f"{slide.stem}: partition {removed}; {len(slide.files)} files ({slide.bytes:,} bytes) {fate}"
    yield f"{format_count(len(plan), 'slide')}, {sum(slide.bytes for slide in plan):,} bytes {fate}"


def _describe_fate(dry_run: bool, delete_outputs: bool) -> str:
    fate = "deleted" if delete_outputs else "kept"
    return f"would be {fate}" if dry_run else fate


def plan_metadata(plan: Sequence[Retirement], *, dry_run: bool, delete_outputs: bool) -> dict[str, Any]:
    """Return the same as numbers and a table."""
    fate = _describe_fate(dry_run, delete_outputs)
    rows = [{"slide": slide.stem, "files": len(slide.files), "bytes": slide.bytes, "outputs": fate} for slide in plan]
    return {
        "slides": len(plan),
        "retired": 0 if dry_run else len(plan),
        "bytes": sum(slide.bytes for slide in plan),
        "plan": table_metadata(rows, slide="string", files="int", bytes="int", outputs="string"),
    }


def retire_slide(project: Project, slide: Retirement, instance: dg.DagsterInstance, *, delete_outputs: bool) -> None:
    """Delete a slide's partition and marks, and its outputs where told to."""
    if delete_outputs:
        with slide_lock(project.output, slide.stem):
            for file in slide.files:
                file.unlink(missing_ok=True)
    names = ProjectNames.of(project)
    for definition in (names.slides.definition, names.removed, names.clashing):
        instance.delete_dynamic_partition(str(definition.name), slide.stem)
