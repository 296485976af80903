"""What a stage of ``atlaspatch run`` takes as an earlier one left it, and which options then change nothing."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project

Values = Mapping[str, Any]
"""Options, by the names that they are typed by, to what decides."""


@dataclass(frozen=True, slots=True)
class EarlierStage:
    """A stage whose outputs later ones take as they lie."""

    kind: str
    task: str
    outputs: str
    values: Callable[["Project"], Values]


def _of_masks(project: "Project") -> Values:
    slides = project.slides
    masks = slides.masks.absolute() if slides.masks else None
    of_supplied = {"masks": masks, "masks_origin": slides.masks_origin, "mask_values": slides.mask_values}
    return {**of_supplied, "segmenter": project.tissue.segmenter}


def _of_patches(project: "Project") -> Values:
    spec = project.geometry[0].spec
    of_pixels = {"edge": spec.edge, "resample": spec.resampling}
    return {"rule": spec.rule, **of_pixels, "scale": spec.scale, "min_tissue_proportion": spec.min_tissue}


TISSUE = EarlierStage("tissue_mask", "seg", "tissue masks", _of_masks)
PATCHES = EarlierStage("patch_coords", "coords", "patches", _of_patches)
BEFORE = {"coords": (TISSUE,), "feat": (TISSUE, PATCHES)}
"""Task to the stages before it."""


def with_masks_of_job(project: "Project", task: str) -> "Project":
    """Return the project of a later stage with the supplied masks that the job's masks were taken from, if any.

    By the rules of others, patches depend on the drawing itself: what was supplied is needed again.
    """
    from atlaspatch_core.operations.tracking.remembered_project import OF_MASKS, deciding_project

    before = deciding_project(project.output, TISSUE.kind) if TISSUE in BEFORE.get(task, ()) else None
    if before is None or before.slides.masks is None:
        return project
    masks = {name: getattr(before.slides, name) for name in OF_MASKS}
    return project.model_copy(update={"slides": project.slides.model_copy(update=masks)})


def unheard_options(task: str, typed_names: Collection[str], project: "Project") -> Iterator[str]:
    """Yield a line for each earlier stage whose outputs lie there, made by other options than those typed now."""
    from atlaspatch_core.operations.tracking.remembered_project import deciding_project

    for stage in BEFORE.get(task, ()):
        before = deciding_project(project.output, stage.kind, project.geometry[0].name)
        now, then = stage.values(project), stage.values(before or project)
        changed = [name for name in now if name in typed_names and now[name] != then[name]]
        if changed:
            yield (
                f"{_listed(changed, now)}: {stage.outputs} are taken as they lie in {project.output}, made with "
                f"{_listed(changed, then)}; --task {stage.task} makes them anew."
            )


def _listed(names: Iterable[str], values: Values) -> str:
    return ", ".join(_text(f"--{name.replace('_', '-')}", values[name]) for name in names)


def _text(flag: str, value: Any) -> str:
    return f"no {flag}" if value in (None, ()) else f"{flag} {value}"
