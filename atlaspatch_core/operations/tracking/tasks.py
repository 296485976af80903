"""From the steps of a recipe to the tasks of a slide's state file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status

TASKS = {
    "slide": "segmentation",
    "tissue_mask": "segmentation",
    "patch_coords": "coords",
    "patch_features": "patch_features",
    "slide_embedding": "slide_features",
}
"""Kind of step to kind of task. A slide that cannot be opened is one whose tissue cannot be found."""
THERE = {
    "segmentation": "already_segmented",
    "coords": "already_generated",
    "patch_features": "already_extracted",
    "slide_features": "already_extracted",
}
"""Why a task did nothing, where its output is there and valid."""
STOPPED = {
    "segmentation": "slide_failed",
    "coords": "geojson_not_found",
    "patch_features": "coords_not_found",
    "slide_features": "patch_features_not_found",
}
"""Why a task did nothing, where what it is made from could not be made."""
NO_PATCHES = "no_patches"
FIRST_TIME = ("", "missing")
"""Why an output was made, where that needs no words."""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What an outcome says of a task."""

    status: str
    """``completed``, ``skipped`` or ``error``."""
    reason: str | None = None
    message: str | None = None
    tried: bool = False
    """Whether work was done, or failed."""


def task_outcomes(outcome: Outcome) -> TaskOutcome | None:
    """Return what an outcome says of its task; None where it says nothing: a slide that opens."""
    task = TASKS.get(outcome.step.kind)
    if outcome.status is Status.FAILED:
        return TaskOutcome("error", None, outcome.why, tried=True)
    if task is None or outcome.step.kind == "slide":
        return None
    if outcome.status is Status.REUSED:
        return TaskOutcome("skipped", THERE[task])
    if outcome.status is Status.SKIPPED:
        return TaskOutcome("skipped", NO_PATCHES if outcome.fingerprint else STOPPED[task], outcome.why)
    return TaskOutcome("completed", None, None if outcome.why in FIRST_TIME else outcome.why, tried=True)


def task_name(step: OutputKey, tasks: Mapping[str, Any], *, several: bool) -> str:
    """Return the task of a step.

    A geometry with a name is part of it where the project has ``several``, and where the plain name is another's.
    """
    plain = ":".join(filter(None, (TASKS[step.kind], step.encoder)))
    scoped = f"{plain}:{step.geometry}"
    if not step.geometry:
        return plain
    owner = tasks[plain].get("geometry", step.geometry) if plain in tasks else step.geometry
    return scoped if several or scoped in tasks or owner != step.geometry else plain


def task_files(store: Store, stem: str, step: OutputKey) -> Iterator[tuple[str, Path]]:
    """Yield names and files of what a step makes and takes, as readers know them."""
    h5 = store.h5(stem, step.geometry)
    if step.kind in ("slide", "tissue_mask"):
        yield from (("contour_jpg", store.contours(stem)), ("contour_geojson", store.geojson(stem)))
    elif step.kind == "patch_coords":
        grid = store.visualization(stem, step.geometry)
        picture = grid.with_suffix(".jpg") if step.geometry else grid
        yield from (("coords_h5", h5), ("coords_viz", picture), ("tissue_geojson", store.geojson(stem)))
    elif step.kind == "patch_features":
        yield from (("features_path", h5), ("coords_path", h5))
    else:
        yield from (("slide_features_path", h5), ("patch_features_path", h5))


def describe_file(path: Path) -> dict[str, Any]:
    """Return a file's path, whether it is there, and its bytes."""
    try:
        size = path.stat().st_size
    except OSError:
        size = None
    return {"path": str(path.absolute()), "exists": size is not None, "bytes": size}
