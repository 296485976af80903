"""From the options of a command to the values of a project."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

NO_SLIDES = {"wsi_path": (), "recursive": False, "wsi_ext": (), "custom_list_of_wsis": None, "mpp_csv": None}
"""Values of the options that find slides, for a command without them."""


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
        "slides": slide_values(options),
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


def slide_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return which slides there are, and how they are opened."""
    return {
        "folders": options["wsi_path"],
        "recursive": options["recursive"],
        "extensions": flat(options["wsi_ext"]),
        "slide_list": options["custom_list_of_wsis"],
        "mpp_csv": options["mpp_csv"],
        "mpp_keys": flat(options["custom_mpp_keys"]),
        "reader": options["reader_type"],
        "masks": options["masks"],
    }


def flat(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the words of an option that may be repeated."""
    return tuple(word for words in several for word in words)


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
