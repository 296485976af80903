"""How exported files are written, whatever the layout."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import MissingExtra
from atlaspatch_core.fingerprint import canonical_json, short_hash
from atlaspatch_core.interop.export.values import ExportResult, GeometryResults, SlideResults
from atlaspatch_core.storage import schema
from atlaspatch_core.storage.disk import writing, writing_hdf5

ROWS = 8192
"""Rows per HDF5 chunk, at most."""

Arrays = Mapping[str, tuple[NDArray[Any], Mapping[str, Any]]]
"""Name of a dataset to its values and attributes."""


def need_library(module: str, extra: str) -> Any:
    """Return a library that an extra brings. Raises MissingExtra that says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed; run: pip install 'atlaspatch[{extra}]'") from error


def digest(*parts: Any) -> str:
    """Return 16 hex digits of what decides a file's content; JSON values."""
    return short_hash(canonical_json(list(parts)))


def write_h5(path: Path, arrays: Arrays, about: Mapping[str, Any]) -> None:
    """Write datasets that can grow, in large chunks; ``about`` becomes attributes of the file."""
    with writing_hdf5(path) as file:
        for name, (values, attributes) in arrays.items():
            rest = values.shape[1:]
            chunks = (max(1, min(ROWS, len(values))), *(max(1, side) for side in rest))
            item = file.create_dataset(name, data=values, chunks=chunks, maxshape=(None, *rest))
            item.attrs.update(attributes)
        file.attrs.update(about)


def write_tensor(path: Path, value: Any) -> None:
    """Write an array, or a dict of arrays and plain values, as torch has them; ``weights_only=True`` loads it."""
    import torch

    with writing(path) as disk:
        torch.save(_tensors(value), disk)  # pyright: ignore[reportArgumentType] - it needs no more than writing


def _tensors(value: Any) -> Any:
    import torch

    if isinstance(value, Mapping):
        return {name: _tensors(item) for name, item in value.items()}
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value


def facts(slide: SlideResults, geometry: GeometryResults, result: ExportResult) -> dict[str, Any]:
    """Return what a result is: names, sizes in px, scales in µm/px, and where it comes from; plain values."""
    file = geometry.file
    sizes = (schema.PATCH_SIZE, schema.PATCH_SIZE_LEVEL0, schema.LEVEL0_WIDTH, schema.LEVEL0_HEIGHT)
    scales = (schema.TARGET_MAGNIFICATION, schema.MPP, schema.PATCH_MPP)
    return {
        "stem": slide.stem,
        "geometry": geometry.name,
        "encoder": result.name,
        **{name: int(file[name]) for name in sizes},
        **{name: float(file[name]) for name in scales if name in file},
        **result.provenance(),
    }
