"""From the options of ``atlaspatch run`` to a project, the steps to take, and the devices to take them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.devices import check_devices
from atlaspatch_core.cli.earlier_stages import unheard_options, with_masks_of_job
from atlaspatch_core.cli.logs import notice
from atlaspatch_core.cli.run_coords import Coords, coords_of, coords_values
from atlaspatch_core.cli.run_request import RunOptions, RunRequest
from atlaspatch_core.cli.shared_names import OTSU_WHOLE, tell_shared_names
from atlaspatch_core.config.geometry_fields import GeometryFields
from atlaspatch_core.errors import AtlasPatchError, RemoteCodeNotAllowed
from atlaspatch_core.option import field_of

if TYPE_CHECKING:
    from atlaspatch_core.validity.outcome import OutputKey
    from atlaspatch_core.validity.recipe import Recipe

SEGMENTERS = {"otsu": "otsu_tiled", OTSU_WHOLE: "otsu"}
"""Names of this command to those of ours; all others are the same."""
WITH_FEATURES = ("feat", "all")
OTHER_PRECISION = field_of(GeometryFields, "precision").default
"""Recorded of a stage without features, as a project has it that does not say it."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is to be done with every slide."""

    recipe: "Recipe"
    steps: tuple["OutputKey", ...]
    trusted: tuple["OutputKey", ...]
    """Steps whose outputs are taken as they lie: those before the stage that was asked for."""
    devices: tuple[str, ...]
    """One worker for each."""


def plan_of(request: RunRequest) -> RunPlan:
    """Return what was asked for. Raises click.UsageError for values that do not go together."""
    from atlaspatch_core.config.project import make_project
    from atlaspatch_core.isolation.leases import start_ahead
    from atlaspatch_core.validity.recipe import make_recipe

    devices = request.options.devices
    if not request.mode.dry_run:
        check_devices(*devices)
    try:
        project = make_project(project_values(request, coords_of(request), devices), origin="command line")
        for line in unheard_options(request.options.task, request.typed_names, project):
            notice(line)
        project = with_masks_of_job(project, request.options.task)
        if len(devices) == 1:  # slides are read soon, by this process
            start_ahead(project.plugins)
        recipe = make_recipe(project)
    except RemoteCodeNotAllowed as error:
        raise click.UsageError(f"{error}, or add --allow-remote-code with its name") from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    return RunPlan(recipe, *steps_of(recipe, request.options.task), devices)


def steps_of(recipe: "Recipe", task: str) -> tuple[tuple["OutputKey", ...], tuple["OutputKey", ...]]:
    """Return the steps of a task, with all they need, and those among them that are taken as they lie."""
    last = {"seg": 2, "coords": 3}.get(task, len(recipe.stages))
    steps = tuple(stage.step for stage in recipe.stages[:last])
    if task == "feat" and recipe.project.geometry[0].coords is not None:
        return tuple(step for step in steps if step.kind != "tissue_mask"), ()
    before = {"coords": ("tissue_mask",), "feat": ("tissue_mask", "patch_coords")}.get(task, ())
    return steps, tuple(step for step in steps if step.kind in before)


def project_values(request: RunRequest, coords: Coords, devices: Sequence[str]) -> dict[str, Any]:
    """Return what ``make_project`` takes: one geometry, named as TRIDENT names its folders."""
    options, sections = request.options, request.sections
    patches = coords_values(coords) | encoder_values(request)
    segmenter = SEGMENTERS.get(options.segmenter, options.segmenter)
    return {
        **sections[""],
        "output": options.output,
        "slides": sections["slides"] | {"folders": (options.wsi_dir,)},
        "tissue": sections["tissue"] | {"segmenter": segmenter},
        "geometry": (sections["geometry"] | patches,),
        "weights": weights_of(options, patches["patch_encoders"], patches["slide_encoders"]),
        "pictures": sections["pictures"],
        "runtime": runtime_values(options, devices),
    }


def encoder_values(request: RunRequest) -> dict[str, Any]:
    """Return the encoders of a stage that computes features; none, and their defaults, of another.

    A name that AtlasPatch and TRIDENT share is TRIDENT's here.
    """
    from atlaspatch_core.encoders.patch.trident import as_trident

    options = request.options
    if options.task not in WITH_FEATURES:
        return {"patch_encoders": (), "slide_encoders": (), "input_size": None, "precision": OTHER_PRECISION}
    if options.slide_encoder and options.patch_encoder_img_size:
        raise click.UsageError(
            "--patch-encoder-img-size does not go with --slide-encoder, which was made for features of the usual size."
        )
    slide_encoders = options.slide_encoder or ()
    is_asked = not slide_encoders or "patch_encoder" in request.typed_names
    patch_encoders = options.patch_encoder if is_asked else ()
    tell_shared_names((*patch_encoders, *slide_encoders), trident=True)
    return {
        "patch_encoders": tuple(map(as_trident, patch_encoders)),
        "slide_encoders": tuple(map(as_trident, slide_encoders)),
    }


def weights_of(options: RunOptions, encoders: Sequence[str], slide_encoders: Sequence[str]) -> dict[str, Path]:
    """Return encoder or network to local weights: ``NAME=PATH`` as they are, a path alone for the patch encoder."""
    weights: dict[str, Path] = {}
    for text in options.patch_encoder_ckpt_path:
        name, path = _named_path(text, encoders, slide_encoders)
        if not path.exists():
            raise click.UsageError(f"--patch-encoder-ckpt-path {text}: there is no {path}; give a file that exists.")
        if name:
            weights[name] = path
    return weights


def _named_path(text: str, encoders: Sequence[str], slide_encoders: Sequence[str]) -> tuple[str, Path]:
    """Return whose weights lie where; no name where nothing is encoded."""
    from atlaspatch_core.encoders.patch.trident import as_trident

    path = Path(text).expanduser()
    name, equals, rest = text.partition("=")
    if equals and not path.exists():
        return as_trident(name.strip().lower()), Path(rest).expanduser()
    names = list(dict.fromkeys([*encoders, *(name for encoder in slide_encoders for name in _needed(encoder))]))
    if len(names) > 1:
        raise click.UsageError(f"--patch-encoder-ckpt-path {text}: say whose it is, as in {names[0]}={text}.")
    return (names[0] if names else ""), path


def _needed(slide_encoder: str) -> tuple[str, ...]:
    from atlaspatch_core.encoders.slide import find_slide_encoder

    return find_slide_encoder(slide_encoder).patch_encoders


def runtime_values(options: RunOptions, devices: Sequence[str]) -> dict[str, Any]:
    """Return what decides the speed; several workers share the cores where nobody says how many each takes."""
    return {
        "device": devices[0],
        "segmentation_batch_size": options.seg_batch_size or options.batch_size,
        "feature_batch_size": options.feat_batch_size or options.batch_size,
        "read_workers": 0 if options.max_workers is None else max(1, options.max_workers),
        "threads": 0,
        "remote_cache": options.wsi_cache,
    }
