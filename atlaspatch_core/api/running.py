"""Many slides at once: what ``atlaspatch encode-slide`` does, from Python."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.api.options import as_names, as_paths, checked_project, section_values
from atlaspatch_core.api.slide import OpenedSlide
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.device_names import gpu_numbers
from atlaspatch_core.errors import InvalidProject, MissingDevice

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.validity.outcome import Outcome

log = getLogger(__name__)

ORIGIN = "ap.process"
Place = str | Path | OpenedSlide
"""A slide file, a folder of slides, a pattern, or a slide that is open."""


def process(
    slides: Place | Iterable[Place],
    output: str | Path,
    *,
    patch_size: int,
    target_mag: float | None = None,
    target_mpp: float | None = None,
    patch_encoders: str | Collection[str] = (),
    slide_encoders: str | Collection[str] = (),
    weights: Mapping[str, str | Path] | None = None,
    gpus: int | str | Collection[int] | None = None,
    fast_mode: bool = True,
    force: bool = False,
    progress: bool = False,
    **options: Any,
) -> "list[Outcome]":
    """Do what ``atlaspatch encode-slide`` does: mask, coords, features and embeddings of slides, into a folder.

    What lies there already and is still valid is reused. A slide that cannot be processed is a failed outcome.

    Args:
        slides: A slide file, a folder, a pattern, what ``open_slide`` returned, or several of these.
        output: Folder for all that is made; ``ap.results`` reads it.
        patch_size: Side of a patch, px at the target scale.
        target_mag: Target magnification: 20 means 0.5 µm per px. Either this or ``target_mpp``.
        target_mpp: Target scale, µm per px.
        patch_encoders: Name of a patch encoder, or several.
        slide_encoders: Name of a slide encoder, or several; the patch encoders that they need run by themselves.
        weights: Name of an encoder to a local file with its weights; ``--patch-encoder-ckpt-path`` of the command.
        gpus: GPUs (``0``, ``[0, 1]`` or ``"0,1"``), a worker process for each; -1 is one on the CPU, and may repeat.
            Without them ``device`` counts. A script that gives several begins with ``if __name__ == "__main__":``.
        fast_mode: False: patches are read, too, and dropped by the thresholds of white, black, sharpness and ink.
        force: Compute everything anew, though it is valid.
        progress: Show a bar of slides.
        options: Any other option of the command that a project file has, with underscores: ``min_tissue``,
            ``segmenter``, ``device``, ``mpp_csv``, ``recursive`` … (docs/options.md).

    Returns:
        Outcomes of each slide: ``stem``, ``step``, ``status`` (computed, reused, failed …), ``numbers``, ``path``.

    Raises:
        InvalidProject: An option does not exist, or its value cannot be.
        NoSlides: There is nothing to work on.
        UnknownName, GeometryMismatch: An encoder does not exist, or was made for other patches.
        MissingWeights, WrongWeights, MissingExtra: An encoder cannot be loaded.
        MissingDevice: A device was asked for that is not there.
        UnusableOutput: The output folder cannot be written.

    Example:
        >>> outcomes = ap.process("CMU-1-Small-Region.svs", "made", patch_size=256, target_mag=20, device="cpu")
        >>> [f"{outcome.step} {outcome.status}" for outcome in outcomes]
        ['slide computed', 'tissue_mask computed', 'patch_coords computed']
    """
    numbers = _gpu_numbers(gpus)
    geometry = {"patch_size": patch_size, "target_mag": target_mag, "target_mpp": target_mpp}
    encoders = {"patch_encoders": as_names(patch_encoders), "slide_encoders": as_names(slide_encoders)}
    arguments = geometry | encoders | {name: value for name, value in options.items() if value is not None}
    places = [slides] if isinstance(slides, str | Path | OpenedSlide) else list(slides)
    project = _project_of(places, Path(output), arguments, as_paths(weights), fast_mode=fast_mode)
    project, devices = _on_devices(project, numbers)
    return list(_outcomes(project, _find(project, places), arguments, devices, force=force, progress=progress))


def _gpu_numbers(gpus: object) -> tuple[int, ...]:
    """Return the numbers of GPUs; none where they were left out. Raises InvalidProject for what is no number of one."""
    try:
        return () if gpus is None else gpu_numbers(gpus)
    except ValueError as error:
        raise InvalidProject(f"{ORIGIN}: gpus: {error}") from error


def _on_devices(project: "Project", gpus: tuple[int, ...]) -> "tuple[Project, tuple[str, ...]]":
    """Return the project on the first device, and a device for every worker. Raises MissingDevice for an absent one."""
    from atlaspatch_core.encoders.devices import device_fault
    from atlaspatch_core.pipeline.workers.devices import devices_of

    if gpus and project.runtime.feature_device:
        raise InvalidProject(f"{ORIGIN}: either gpus or feature_device; gpus compute features, too")
    devices = devices_of(gpus) if gpus else (project.runtime.device,)
    for fault in filter(None, map(device_fault, devices)):
        raise MissingDevice(fault)
    return project.model_copy(update={"runtime": project.runtime.model_copy(update={"device": devices[0]})}), devices


def _project_of(
    places: Iterable[Place], output: Path, arguments: Mapping[str, Any], weights: Mapping[str, Path], *, fast_mode: bool
) -> "Project":
    """Return the project that the arguments mean: one geometry without a name, so that files lie in ``patches``."""
    values: dict[str, Any] = section_values(ORIGIN, arguments)
    of_project, geometry, filters = (values.pop(name) for name in ("", "geometry", "geometry.filters"))
    if fast_mode and filters:
        raise InvalidProject(f"{ORIGIN}: {next(iter(filters))} needs patches that are read; add fast_mode=False")
    values["slides"]["folders"] = tuple(Path(place) for place in places if not isinstance(place, OpenedSlide))
    geometry |= {} if fast_mode else {"filters": filters}
    return checked_project(
        ORIGIN, {**of_project, **values, "output": output, "geometry": [geometry], "weights": weights}
    )


def _find(project: "Project", places: Iterable[Place]) -> "Discovery":
    """Return the slides that are at rest, those of folders and those that are open. Raises NoSlides, InvalidProject."""
    from atlaspatch_core.discovery.find import find_slides
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.discovery.stability import leave_copies
    from atlaspatch_core.discovery.unused import unused_inputs

    opened = tuple(_source_of(place, project) for place in places if isinstance(place, OpenedSlide))
    discovery = find_slides(project) if project.slides.folders or not opened else Discovery(())
    discovery = leave_copies(replace(discovery, sources=(*discovery.sources, *opened)))
    for unused in unused_inputs(project.slides, discovery):
        if unused.serves_none:
            raise InvalidProject(f"{ORIGIN}: {unused.text}; {unused.cure}")
        log.warning("%s", unused.text)
    for omission in discovery.left_out:
        log.warning("left out: %s", omission.why)
    return discovery


def _source_of(slide: OpenedSlide, project: "Project") -> SlideSource:
    """Return an open slide as one that was not opened yet. Raises InvalidProject where it would be read otherwise."""
    for name in ("reader", "square_pixels"):
        own = getattr(slide.settings, name)
        if own != getattr(project.slides, name):
            raise InvalidProject(f"{ORIGIN}: {slide.stem} was opened with {name}={own!r}; give {name} here, too")
    return slide.source


def _outcomes(
    project: "Project",
    discovery: "Discovery",
    arguments: Mapping[str, Any],
    devices: tuple[str, ...],
    *,
    force: bool,
    progress: bool,
) -> "Iterator[Outcome]":
    """Yield what becomes of the slides, and note it in the output folder, as the command does."""
    from tqdm import tqdm

    from atlaspatch_core.operations.tracking.tracker import Command, Tracker
    from atlaspatch_core.pipeline.workers.devices import process_discovered
    from atlaspatch_core.storage.atomic import make_folder
    from atlaspatch_core.validity.canonical_names import with_canonical_names
    from atlaspatch_core.validity.recipe import make_recipe

    recipe = make_recipe(project)
    for warning in recipe.warnings:
        warnings.warn(str(warning), stacklevel=2)
    make_folder(project.output)
    asked_project = with_canonical_names(recipe.project, recipe.encoders)
    recorded = {**arguments, "output": project.output, "force": force}
    outcomes = process_discovered(discovery, recipe, devices, force=force, on_patches=lambda *_: None)
    bar = tqdm(total=len(discovery.paths) * len(recipe.stages), unit="output", disable=not progress)
    with bar, Tracker(asked_project, discovery, Command("ap.process", recorded)) as tracker:
        for outcome in outcomes:
            tracker.record_outcome(outcome)
            bar.set_description(outcome.stem)
            bar.update()
            yield outcome
