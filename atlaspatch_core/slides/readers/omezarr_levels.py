"""Which arrays of a Zarr store are the levels of an image, and what their axes mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.readers.lengths import um_of

KNOWN_AXES = "tczyx"
NGFF_UNITS = {"nanometer": "nm", "micrometer": "um", "millimeter": "mm", "centimeter": "cm", "meter": "m", "inch": "in"}
"""Units of length that NGFF and UDUNITS spell out."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What each dimension of an array is: some of the letters t, c, z, y, x in the array's order."""

    letters: str

    def __post_init__(self) -> None:
        """Raise ValueError for axes that no image has."""
        known = len(set(self.letters)) == len(self.letters) and set(self.letters) <= set(KNOWN_AXES)
        if not known or not {"y", "x"} <= set(self.letters):
            raise ValueError(f"its axes are {self.letters!r}, an image has y and x, and of t, c, z what it needs")

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Return width and height."""
        return int(shape[self.letters.index("x")]), int(shape[self.letters.index("y")])

    def channels(self, shape: Sequence[int]) -> int:
        """Return the number of channels."""
        return int(shape[self.letters.index("c")]) if "c" in self.letters else 1

    def index(self, shape: Sequence[int], left: int, top: int, width: int, height: int) -> tuple[int | slice, ...]:
        """Return what selects a rectangle: the first time point, the middle focal plane, all channels."""
        chosen = {
            "t": 0,
            "z": shape[self.letters.index("z")] // 2 if "z" in self.letters else 0,
            "c": slice(None),
            "y": slice(top, top + height),
            "x": slice(left, left + width),
        }
        return tuple(chosen[letter] for letter in self.letters)

    def image(self, selected: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what ``index`` selected with the shape (height, width, channels)."""
        kept = [letter for letter in self.letters if letter in "cyx"]
        pixels = np.asarray(selected) if "c" in kept else np.asarray(selected)[..., np.newaxis]
        kept = kept if "c" in kept else [*kept, "c"]
        return pixels.transpose([kept.index(letter) for letter in "yxc"])


@dataclass(frozen=True, slots=True)
class Image:
    """The arrays of one image, finest first."""

    levels: list[Any]
    axes: Axes
    properties: Mapping[str, str]


def find_image(node: Any) -> Image:
    """Return the largest image of a store. Raises ValueError where there is none.

    NGFF multiscales count, of the store itself or of a group in it (as bioformats2raw writes them); without any, the
    arrays of the store that shrink in equal proportions.
    """
    if not hasattr(node, "members"):
        return plain_image([node])
    if "plate" in ngff(node):
        raise ValueError("it is a plate of many images; name one of them")
    groups = [node, *(group for _, group in sorted(node.groups()))]
    images = [ngff_image(group, scales[0]) for group in groups if (scales := ngff(group).get("multiscales"))]
    if images:
        return max(images, key=lambda image: np.prod(image.axes.size(image.levels[0].shape)))
    arrays = [array for _, array in node.arrays()]
    if not arrays:
        raise ValueError("it holds neither an NGFF image nor an array")
    return plain_image(sorted(arrays, key=lambda array: -array.size))


def ngff(group: Any) -> Mapping[str, Any]:
    """Return the NGFF metadata of a group: from version 0.5 on they are under ``ome``."""
    attributes = group.attrs.asdict()
    return attributes.get("ome", attributes)


def ngff_image(group: Any, multiscale: Mapping[str, Any]) -> Image:
    """Return the image of NGFF multiscales."""
    datasets = multiscale["datasets"]
    levels = [group[dataset["path"]] for dataset in datasets]
    stated = multiscale.get("axes") or list(KNOWN_AXES[-levels[0].ndim :])  # versions 0.1 and 0.2 do not say
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in stated]
    letters = "".join(str(axis["name"]).lower() for axis in axes)
    scales = [*scales_of(multiscale), *scales_of(datasets[0])]
    factor = np.prod(scales, axis=0) if scales else np.zeros(len(axes))
    sides = ((axis, float(scale)) for axis, scale in zip(axes, factor, strict=True) if axis["name"] in ("x", "y"))
    properties = {
        f"ngff.scale-{axis['name']}": repr(um)
        for axis, scale in sides
        if scale and (um := um_of(scale, NGFF_UNITS.get(axis.get("unit", ""), axis.get("unit")))) is not None
    }
    return Image(levels, Axes(letters), properties)


def scales_of(part: Mapping[str, Any]) -> Iterator[list[float]]:
    """Yield the factors, one for each axis, that a dataset or all datasets are to be multiplied with."""
    for transformation in part.get("coordinateTransformations") or ():
        if transformation.get("type") == "scale":
            yield transformation["scale"]


def plain_image(arrays: list[Any]) -> Image:
    """Return the image of arrays without NGFF, the largest first; its scale is not known."""
    full = arrays[0]
    axes = Axes(guessed_axes(full))
    width, height = axes.size(full.shape)
    levels = [full]
    for array in arrays[1:]:
        if array.ndim != full.ndim:
            continue
        across, down = axes.size(array.shape)
        shrinks = across < levels[-1].shape[axes.letters.index("x")]
        if shrinks and abs(width / across - height / down) <= max(width / across, height / down) / min(across, down):
            levels.append(array)
    return Image(levels, axes, {})


def guessed_axes(array: Any) -> str:
    """Return the axes that an array names itself, or that its shape suggests: 3 channels are last or first."""
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    if named and all(named):
        return "".join(str(name)[:1].lower() if str(name).lower() != "s" else "c" for name in named)
    if array.ndim == 3:
        return "yxc" if array.shape[2] in (1, 3, 4) else "cyx"
    return KNOWN_AXES[-array.ndim :]
