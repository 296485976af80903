"""Folders of results written as TRIDENT, AtlasPatch and CLAM lay them out, with numpy and h5py alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

GEOMETRY = "20x_256px_0px_overlap"
BOX = (256, 256, 768, 768)
"""Left, top, right, bottom of the tissue, level-0 px."""


def lattice(box: tuple[int, int, int, int] = BOX, step: int = 256) -> NDArray[np.int64]:
    """Return the corners of the squares that fill a box on the lattice, row by row."""
    left, top, right, bottom = box
    return np.array([(x, y) for y in range(top, bottom, step) for x in range(left, right, step)], np.int64)


def random_features(rows: int, dim: int = 8, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def trident_attributes(stem: str, folder: Path, **changes: Any) -> dict[str, Any]:
    values = {
        "patch_size": 256,
        "patch_size_level0": 256.0,
        "level0_magnification": 20,
        "target_magnification": 20.0,
        "overlap": 0,
        "name": stem,
        "savetodir": str(folder),
        "level0_width": 1024,
        "level0_height": 1024,
    }
    return values | changes


def write_rows(file: h5py.File, name: str, values: NDArray[Any], attributes: dict[str, Any]) -> None:
    options = {"chunks": (1, values.shape[1]), "maxshape": (None, values.shape[1])} if values.shape[0] else {}
    item = file.create_dataset(name, data=values, **options)
    for key, value in attributes.items():
        item.attrs[key] = value


def trident_coords(job: Path, stem: str, corners: NDArray[Any], geometry: str = GEOMETRY, **changes: Any) -> Path:
    path = job / geometry / "patches" / f"{stem}_patches.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        write_rows(file, "coords", np.asarray(corners, np.int64), trident_attributes(stem, job / geometry, **changes))
    return path


def trident_features(
    job: Path,
    stem: str,
    corners: NDArray[Any],
    features: NDArray[Any],
    encoder: str,
    geometry: str = GEOMETRY,
    **changes: Any,
) -> Path:
    path = job / geometry / f"features_{encoder}" / f"{stem}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        write_rows(file, "features", features, {"name": stem, "savetodir": str(path.parent), "encoder": encoder})
        write_rows(file, "coords", np.asarray(corners, np.int64), trident_attributes(stem, job / geometry, **changes))
    return path


def trident_embedding(
    job: Path, stem: str, corners: NDArray[Any], vector: NDArray[Any], encoder: str, geometry: str = GEOMETRY
) -> Path:
    path = job / geometry / f"slide_features_{encoder}" / f"{stem}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        item = file.create_dataset("features", data=vector, chunks=(1,) if len(vector) else None)
        item.attrs["name"] = stem
        write_rows(file, "coords", np.asarray(corners, np.int64), trident_attributes(stem, job / geometry))
    return path


def trident_outlines(job: Path, stem: str, boxes: Sequence[tuple[float, float, float, float]] = (BOX,)) -> Path:
    """Write rectangles of tissue as TRIDENT does, with its dummy reference system."""
    path = job / "contours_geojson" / f"{stem}.geojson"
    path.parent.mkdir(parents=True, exist_ok=True)
    features = []
    for index, (left, top, right, bottom) in enumerate(boxes):
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        shape = {"type": "Polygon", "coordinates": [[[float(x), float(y)] for x, y in ring]]}
        features.append({"type": "Feature", "properties": {"tissue_id": index}, "geometry": shape})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "name": stem, "crs": crs, "features": features}))
    return path


def trident_run(job: Path, run_id: str, **args: Any) -> Path:
    path = job / "runs" / f"{run_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"task": "all", "segmenter": "hest", "mag": 20.0, "patch_size": 256, "overlap": 0} | args
    path.write_text(json.dumps({"run_id": run_id, "tool": "run_batch_of_slides", "args": values}))
    return path


def trident_config(job: Path, geometry: str = GEOMETRY, **values: Any) -> Path:
    path = job / geometry / "_config_coords.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"job_dir": str(job), **values}))
    return path


def trident_job(job: Path, *stems: str, encoder: str = "uni_v1") -> Path:
    """Write a sound job: outlines, coords in column order as before v0.2.5, and features."""
    for number, stem in enumerate(stems):
        corners = lattice()[[0, 2, 1, 3]]
        trident_outlines(job, stem)
        trident_coords(job, stem, corners)
        trident_features(job, stem, corners, random_features(4, seed=number), encoder)
    return job


def atlaspatch_file(
    folder: Path, stem: str, corners: NDArray[Any], features: dict[str, NDArray[Any]] | None = None, **changes: Any
) -> Path:
    path = folder / "patches" / f"{stem}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(corners)
    coords = np.hstack([np.asarray(corners, np.int32), np.tile(np.array([[256, 256, 0]], np.int32), (count, 1))])
    values = {
        "patch_size": 256,
        "patch_size_level0": 256,
        "level0_magnification": 20,
        "target_magnification": 20,
        "overlap": 0,
        "level0_width": 1024,
        "level0_height": 1024,
        "wsi_path": f"slides/{stem}.svs",
        "passport_version": 2,
        "num_patches": count,
        "mpp": 0.5,
    }
    with h5py.File(path, "w") as file:
        for key, value in (values | changes).items():
            file.attrs[key] = value
        file.create_dataset("coords", data=coords, maxshape=(None, 5))
        lines = [f"{stem}__x{x}_y{y}".encode() for x, y in np.asarray(corners)]
        file.create_dataset("passports", data=np.array(lines, dtype="S160"), maxshape=(None,))
        for name, rows in (features or {}).items():
            file.create_dataset(f"features/{name}", data=rows, maxshape=(None, rows.shape[1]))
    return path


def clam_coords(folder: Path, stem: str, corners: NDArray[Any], *, level: int = 0, size: int = 256) -> Path:
    path = folder / "patches" / f"{stem}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        item = file.create_dataset("coords", data=np.asarray(corners, np.int64))
        item.attrs["patch_size"], item.attrs["patch_level"] = size, level
    return path


def clam_features(folder: Path, stem: str, corners: NDArray[Any], features: NDArray[Any]) -> Path:
    path = folder / "h5_files" / f"{stem}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features)
        file.create_dataset("coords", data=np.asarray(corners, np.int64))
    return path
