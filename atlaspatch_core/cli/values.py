"""From the options of a command to the values of a project."""

from collections.abc import Mapping
from typing import Any

import click


def check_together(options: Mapping[str, Any]) -> None:
    """Raise click.UsageError for options that are missing, or exclude each other."""
    if not (options["slide_encoders"] or options["patch_encoders"]):
        raise click.UsageError("Missing option '--slide-encoders' (or '--patch-encoders', without an embedding).")
    check_scale(options)


def check_scale(options: Mapping[str, Any]) -> None:
    """Raise click.UsageError unless the scale is stated once, and the weights of each encoder at most once."""
    if options["target_mag"] is None and options["target_mpp"] is None:
        raise click.UsageError("Missing option '--target-mag' (or '--target-mpp').")
    if options["target_mag"] is not None and options["target_mpp"] is not None:
        raise click.UsageError("--target-mag and --target-mpp both state the scale; give one of them.")
    names = [name for name, _ in options["patch_encoder_ckpt_path"]]
    if len(set(names)) < len(names):
        raise click.UsageError(f"--patch-encoder-ckpt-path names one encoder twice: {', '.join(sorted(names))}.")


def project_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``make_project`` takes: one geometry without a name, so that files lie in ``<output>/patches``."""
    return {
        "output": options["output"],
        "slides": {
            "folders": (options["wsi_path"],),
            "recursive": options["recursive"],
            "mpp_csv": options["mpp_csv"],
            "masks": options["masks"],
        },
        "tissue": tissue_values(options),
        "geometry": (geometry_values(options),),
        "weights": dict(options["patch_encoder_ckpt_path"]),
        "plugins": options["feature_plugin"],
        "pictures": {
            "grids": options["visualize_grids"],
            "mask": options["visualize_mask"],
            "contours": options["visualize_contours"],
            "save_images": options["save_images"],
        },
        "runtime": runtime_values(options),
    }


def tissue_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the tissue mask."""
    same = ("segmenter", "seg_conf_thresh", "remove_holes", "remove_artifacts", "remove_penmarks")
    return {name: options[name] for name in same} | {"min_tissue_share": options["tissue_thresh"]}


def filter_values(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the filters on patches, None in fast mode. Raises click.UsageError for one that fast mode would ignore."""
    ours = ("min_sharpness", "max_pen")
    if not options["fast_mode"]:
        return {name: options[name] for name in ("white_thresh", "black_thresh", *ours)}
    for name in ours:
        if options[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} reads patches; add --no-fast-mode.")
    return None


def geometry_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the geometry."""
    same = ("patch_size", "step_size", "target_mag", "target_mpp", "scale", "min_tissue", "rule", "edge", "downscale")
    return {name: options[name] for name in same} | {
        "filters": filter_values(options),
        "patch_encoders": options["patch_encoders"] or (),
        "slide_encoders": options["slide_encoders"] or (),
        "precision": options["feature_precision"],
    }


def runtime_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides the speed."""
    return {
        "device": options["device"],
        "feature_device": options["feature_device"],
        "feature_batch_size": options["feature_batch_size"],
        "segmentation_batch_size": options["seg_batch_size"],
        "read_workers": max(options["patch_workers"], options["feature_num_workers"]),
        "write_rows": options["write_batch"],
    }
