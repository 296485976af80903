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
        },
        "tissue": {"segmenter": options["segmenter"], "min_tissue_share": options["tissue_thresh"]},
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


def geometry_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the geometry."""
    thresholds = {name: options[name] for name in ("white_thresh", "black_thresh")}
    same = ("patch_size", "step_size", "target_mag", "target_mpp", "scale", "min_tissue", "rule", "edge")
    return {name: options[name] for name in same} | {
        "filters": None if options["fast_mode"] else thresholds,
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
