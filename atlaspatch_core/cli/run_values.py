"""From the options of ``atlaspatch run`` to a project, the steps to take, and the devices to take them on."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.devices import devices_of
from atlaspatch_core.cli.values import slide_values
from atlaspatch_core.errors import AtlasPatchError, RemoteCodeNotAllowed

if TYPE_CHECKING:
    from atlaspatch_core.validity.outcome import OutputKey
    from atlaspatch_core.validity.recipe import Recipe

SEGMENTERS = {"otsu": "otsu_tiled", "otsu_whole": "otsu"}
"""Names of this command to those of ours; all others are the same."""
WITH_FEATURES = ("feat", "all")


@dataclass(frozen=True, slots=True)
class Coords:
    """Where coords come from, and what is known of their patches."""

    geometry: str
    """Folder of the results in the job's, and name of the geometry."""
    mag: float
    patch_size: int
    overlap: int
    supplied: Path | None = None
    """Folder of coords that somebody else laid."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is to be done with every slide."""

    recipe: "Recipe"
    steps: tuple["OutputKey", ...]
    settled: tuple["OutputKey", ...]
    """Steps whose outputs are taken as they lie: those before the stage that was asked for."""
    devices: tuple[str, ...]
    """One worker for each."""


def plan_of(options: Mapping[str, Any], given: Collection[str]) -> RunPlan:
    """Return what the options ask for; ``given`` are the names of those that the user typed.

    Raises click.UsageError for values that do not go together.
    """
    from atlaspatch_core.config.project import make_project
    from atlaspatch_core.validity.recipe import make_recipe

    devices = devices_of(options["gpus"], options["gpu"])
    try:
        values = project_values(options, coords_of(options, given), devices, given)
        recipe = make_recipe(make_project(values, origin="command line"))
    except RemoteCodeNotAllowed as error:
        raise click.UsageError(f"{error}, or add --allow-remote-code with its name") from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    return RunPlan(recipe, *steps_of(recipe, options["task"]), devices)


def steps_of(recipe: "Recipe", task: str) -> tuple[tuple["OutputKey", ...], tuple["OutputKey", ...]]:
    """Return the steps of a task, with all they need, and those among them that are taken as they lie."""
    last = {"seg": 2, "coords": 3}.get(task, len(recipe.stages))
    steps = tuple(stage.step for stage in recipe.stages[:last])
    if task != "all" and recipe.project.geometry[0].coords is not None and task != "seg":
        return tuple(step for step in steps if step.kind != "tissue_mask"), ()
    before = {"coords": ("tissue_mask",), "feat": ("tissue_mask", "patch_coords")}.get(task, ())
    return steps, tuple(step for step in steps if step.kind in before)


def coords_of(options: Mapping[str, Any], given: Collection[str]) -> Coords:
    """Return where coords come from. Raises click.UsageError for a folder that cannot be meant."""
    typed = options["coords_dir"]
    folder = options["output"] / typed if typed else None
    mag, patch_size, overlap = _geometry(folder, options, given)
    if overlap >= patch_size:
        raise click.UsageError(
            f"--overlap {overlap} px must be less than --patch-size {patch_size} px, or patches would not move on."
        )
    name = f"{mag:g}x_{patch_size}px_{overlap}px_overlap"
    if folder is None or options["task"] == "seg":
        return Coords(name, mag, patch_size, overlap)
    if _holds_coords(folder) and not _is_ours(folder, options["output"]):
        return Coords(f"{name}_supplied", mag, patch_size, overlap, folder)
    return Coords(_subfolder(folder, typed, options), mag, patch_size, overlap)


def _subfolder(folder: Path, typed: Path, options: Mapping[str, Any]) -> str:
    """Return the name of a folder of the job in which our coords lie, or are to lie."""
    from atlaspatch_core.config.sections import GEOMETRY_NAME

    name = folder.resolve().name
    inside = folder.resolve().parent == options["output"].resolve() and GEOMETRY_NAME.fullmatch(name)
    if inside and (_holds_coords(folder) or options["task"] != "feat"):
        return name
    cure = "name a folder with <slide>_patches.h5 or <slide>.h5 in it"
    if options["task"] == "feat":
        raise click.UsageError(f"--coords-dir {typed}: there are no coords in {folder}; {cure}.")
    raise click.UsageError(f"--coords-dir {typed}: coords are laid in subfolders of {options['output']} only; {cure}.")


def _geometry(folder: Path | None, options: Mapping[str, Any], given: Collection[str]) -> tuple[float, int, int]:
    """Return magnification, patch size and overlap: as typed, or else as the first of existing coords says."""
    from atlaspatch_core.layouts.supplied_coords import first_stated

    stated = first_stated(folder) if folder and options["task"] != "seg" else None
    names = {"mag": "target_magnification", "patch_size": "patch_size", "overlap": "overlap"}
    said = {name: getattr(stated, theirs) for name, theirs in names.items()} if stated else {}
    found = {**options} | {name: said[name] for name in said.keys() - set(given) if said[name] is not None}
    return float(found["mag"]), int(found["patch_size"]), int(found["overlap"])


def _holds_coords(folder: Path) -> bool:
    from atlaspatch_core.layouts.supplied_coords import files_of

    return bool(files_of(folder))


def _is_ours(folder: Path, output: Path) -> bool:
    """Tell whether coords lie where this package laid them: in the job's own folder, each with its fingerprint."""
    from atlaspatch_core.storage.hdf5 import read_stored_results
    from atlaspatch_core.storage.schema import COORDS

    if folder.resolve().parent != output.resolve():
        return False
    files = sorted((folder / "patches").glob("*.h5"))
    try:
        kept = read_stored_results(files[0]) if files else {}
    except AtlasPatchError:
        return False
    return COORDS in kept and kept[COORDS].fingerprint is not None


def project_values(
    options: Mapping[str, Any], coords: Coords, devices: Sequence[str], given: Collection[str]
) -> dict[str, Any]:
    """Return what ``make_project`` takes: one geometry, named as TRIDENT names its folders."""
    encoders = encoders_of(options, given)
    dumps = ("dump_patches", "dump_patches_max", "dump_patches_format", "dump_patches_jpeg_quality")
    tissue = ("seg_conf_thresh", "remove_holes", "remove_artifacts", "remove_penmarks")
    segmenter = SEGMENTERS.get(options["segmenter"], options["segmenter"])
    return {
        "output": options["output"],
        "slides": slide_values({**options, "wsi_path": (options["wsi_dir"],), "masks": None}),
        "tissue": {"segmenter": segmenter} | {name: options[name] for name in tissue},
        "geometry": (geometry_values(options, coords) | encoders,),
        "weights": weights_of(options, encoders),
        "plugins": options["feature_plugin"],
        "allow_remote_code": options["allow_remote_code"] or (),
        "pictures": {"grids": True} | {name: options[name] for name in dumps},
        "runtime": runtime_values(options, devices),
    }


def encoders_of(options: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Return the encoders of a stage that computes features; none of another."""
    if options["task"] not in WITH_FEATURES:
        return {}
    slide_encoders = options["slide_encoder"] or ()
    if slide_encoders and options["patch_encoder_img_size"]:
        raise click.UsageError(
            "--patch-encoder-img-size does not go with --slide-encoder, which was made for features of the usual size."
        )
    beside = not slide_encoders or "patch_encoder" in given
    return {
        "patch_encoders": options["patch_encoder"] if beside else (),
        "slide_encoders": slide_encoders,
        "input_size": options["patch_encoder_img_size"],
        "precision": options["feature_precision"],
    }


def geometry_values(options: Mapping[str, Any], coords: Coords) -> dict[str, Any]:
    """Return size, scale and place of the patches."""
    return {
        "name": coords.geometry,
        "patch_size": coords.patch_size,
        "step_size": coords.patch_size - coords.overlap if coords.overlap else None,
        "target_mag": coords.mag,
        "scale": options["scale"],
        "min_tissue": options["min_tissue_proportion"],
        "coords": coords.supplied,
    }


def weights_of(options: Mapping[str, Any], encoders: Mapping[str, Any]) -> dict[str, Path]:
    """Return encoder or network to local weights: ``NAME=PATH`` as they are, a path alone for the patch encoder."""
    weights: dict[str, Path] = {}
    for text in options["patch_encoder_ckpt_path"]:
        name, path = _named_path(text, encoders)
        if not path.exists():
            raise click.UsageError(f"--patch-encoder-ckpt-path {text}: there is no {path}; give a file that exists.")
        if name:
            weights[name] = path
    return weights


def _named_path(text: str, encoders: Mapping[str, Any]) -> tuple[str, Path]:
    """Return whose weights lie where; no name where nothing is encoded."""
    path = Path(text).expanduser()
    name, equals, rest = text.partition("=")
    if equals and not path.exists():
        return name.strip().lower(), Path(rest).expanduser()
    names = dict.fromkeys([*encoders.get("patch_encoders", ()), *map(_needed, encoders.get("slide_encoders", ()))])
    if len(names) > 1:
        raise click.UsageError(f"--patch-encoder-ckpt-path {text}: say whose it is, as in {next(iter(names))}={text}.")
    return next(iter(names), ""), path


def _needed(slide_encoder: str) -> str:
    from atlaspatch_core.encoders.slide import find_slide_encoder

    return find_slide_encoder(slide_encoder).patch_encoder


def runtime_values(options: Mapping[str, Any], devices: Sequence[str]) -> dict[str, Any]:
    """Return what decides the speed; workers share the cores."""
    share = 0 if len(devices) == 1 else max(1, (os.cpu_count() or 1) // len(devices))
    readers = options["max_workers"]
    return {
        "device": devices[0],
        "segmentation_batch_size": options["seg_batch_size"] or options["batch_size"],
        "feature_batch_size": options["feat_batch_size"] or options["batch_size"],
        "read_workers": share if readers is None else max(1, readers),
        "threads": share,
    }
