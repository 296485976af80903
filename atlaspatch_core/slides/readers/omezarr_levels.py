"""Which arrays of a Zarr store are the levels of an image, and what their axes mean."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.lengths import um_of, unknown_unit
from atlaspatch_core.slides.readers.images import (
    PICTURE,
    ImageChoice,
    choose_image,
    is_smaller_copy,
    other_images,
    section_numbers,
)

KNOWN_AXES = "tczyx"
NGFF_UNITS = {"nanometer": "nm", "micrometer": "um", "millimeter": "mm", "centimeter": "cm", "meter": "m", "inch": "in",
              "picometer": "pm", "foot": "ft"}  # fmt: skip
"""Units of length that NGFF and UDUNITS spell out."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What each dimension of an array is: some of the letters t, c, z, y, x in the array's order."""

    letters: str

    def __post_init__(self) -> None:
        """Raise ValueError for axes that no image has."""
        is_valid = len(set(self.letters)) == len(self.letters) and set(self.letters) <= set(KNOWN_AXES)
        if not is_valid or not {"y", "x"} <= set(self.letters):
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
        letters = [letter for letter in self.letters if letter in "cyx"]
        pixels = np.asarray(selected) if "c" in letters else np.asarray(selected)[..., np.newaxis]
        letters = letters if "c" in letters else [*letters, "c"]
        return pixels.transpose([letters.index(letter) for letter in "yxc"])


@dataclass(frozen=True, slots=True)
class Image:
    """The arrays of one image, finest first."""

    levels: list[Any]
    axes: Axes
    properties: Mapping[str, str]
    channels: tuple[tuple[str, str], ...] = ()
    """Name and colour, six hex digits, of each, as far as they are stated."""
    name: str = ""


def find_image(path: Path, node: Any, series: int | None = None) -> tuple[Image, tuple[str, ...]]:
    """Return the largest scan of a store, or the image that is asked for, and clauses on those that are not taken.

    NGFF multiscales count, of the store itself or of a group in it (as bioformats2raw writes them); without any, the
    arrays of the store that shrink in equal proportions.
    Raises ValueError where there is none, UnreadableSlide where there is none of the number that is asked for.
    """
    images = images_of(path, node)
    choices = choices_of(images)
    chosen = choose_image(path, choices, series)
    others = [] if series is not None else [one for one in choices if one is not chosen]
    return images[chosen.number], other_images(chosen, others)


def find_sections(path: Path, node: Any) -> tuple[int, ...]:
    """Return the numbers of the scans of a store that holds several. Raises ValueError where there is none."""
    choices = choices_of(images_of(path, node))
    chosen = choose_image(path, choices, None)
    return section_numbers(chosen, [one for one in choices if one is not chosen])


def choices_of(images: Sequence[Image]) -> list[ImageChoice]:
    """Return images as a person chooses among them; the name tells pictures of the glass."""
    sizes = [image.axes.size(image.levels[0].shape) for image in images]
    return [
        ImageChoice(number, *size, not PICTURE.search(image.name))
        for number, (image, size) in enumerate(zip(images, sizes, strict=True))
    ]


def images_of(path: Path, node: Any) -> list[Image]:
    """Return the images of a store, in the order of the store's own multiscales and then of its groups."""
    if not hasattr(node, "members"):
        return [plain_image([node])]
    if "plate" in ngff(node):
        raise ValueError("it is a plate of many images; name one of them")
    groups = [node, *(group for _, group in sorted(node.groups(), key=lambda named: in_order(named[0])))]
    images = [ngff_image(group, scales) for group in groups for scales in ngff(group).get("multiscales") or ()]
    if images:
        names = [*names_in(path / "OME" / "METADATA.ome.xml"), *[""] * len(images)]
        return [replace(image, name=image.name or name) for image, name in zip(images, names, strict=False)]
    arrays = [array for _, array in node.arrays()]
    if not arrays:
        raise ValueError("it holds neither an NGFF image nor an array")
    return plain_images(sorted(arrays, key=lambda array: -array.size))


def in_order(name: str) -> tuple[int, str]:
    """Return what sorts names as numbers where they are."""
    return (int(name) if name.isdigit() else -1), name


def names_in(file: Path) -> list[str]:
    """Return the names of the images that bioformats2raw describes beside them; none where it does not."""
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError):
        return []
    return [one.get("Name", "") for one in root if one.tag.rpartition("}")[2] == "Image"]


def ngff(group: Any) -> Mapping[str, Any]:
    """Return the NGFF metadata of a group: from version 0.5 on they are under ``ome``."""
    attributes = group.attrs.asdict()
    return attributes.get("ome", attributes)


def ngff_image(group: Any, multiscale: Mapping[str, Any]) -> Image:
    """Return the image of NGFF multiscales: the largest of its arrays, and those of its proportions and samples."""
    datasets = sorted(multiscale["datasets"], key=lambda dataset: -group[dataset["path"]].size)
    stated = multiscale.get("axes") or list(KNOWN_AXES[-group[datasets[0]["path"]].ndim :])  # 0.1 and 0.2 do not say
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in stated]
    letters = Axes("".join(str(axis["name"]).lower() for axis in axes))
    scales = [*scales_of(multiscale), *scales_of(datasets[0])]
    properties: dict[str, str] = {}
    for axis, factors in zip(axes, zip(*scales, strict=True), strict=bool(scales)):
        properties |= scale_of_axis(axis, factors)
    levels = levels_among([group[dataset["path"]] for dataset in datasets], letters)
    return Image(levels, letters, properties, tuple(channels_of(ngff(group))), str(multiscale.get("name") or ""))


def scale_of_axis(axis: Mapping[str, Any], factors: Sequence[Any]) -> dict[str, str]:
    """Return what an axis states of the width or height of a px, the product of its factors, as a property."""
    name, unit = axis["name"], NGFF_UNITS.get(axis.get("unit", ""), axis.get("unit"))
    if name not in ("x", "y"):
        return {}
    try:
        scale = math.prod(map(float, factors))
    except (TypeError, ValueError):
        return {f"ngff.scale-{name}": " × ".join(map(str, factors))}
    um = um_of(scale, unit)
    return dict(unknown_unit(scale, unit)) if um is None else {f"ngff.scale-{name}": repr(um)}


def channels_of(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and colour of the channels that ``omero`` describes."""
    for channel in (attributes.get("omero") or {}).get("channels") or ():
        yield str(channel.get("label") or ""), str(channel.get("color") or "")


def levels_among(arrays: Sequence[Any], axes: Axes) -> list[Any]:
    """Return the first array and those that have its proportions on both sides, its type and its channels."""
    full = arrays[0]
    size, channels = axes.size(full.shape), axes.channels(full.shape)
    return [
        full,
        *(
            array
            for array in arrays[1:]
            if array.ndim == full.ndim
            and (array.dtype, axes.channels(array.shape)) == (full.dtype, channels)
            and is_smaller_copy(*axes.size(array.shape), *size)
        ),
    ]


def scales_of(part: Mapping[str, Any]) -> Iterator[list[float]]:
    """Yield the factors, one for each axis, that a dataset or all datasets are to be multiplied with."""
    for transformation in part.get("coordinateTransformations") or ():
        if transformation.get("type") == "scale":
            yield transformation["scale"]


def plain_images(arrays: Sequence[Any]) -> list[Image]:
    """Return the images of arrays without NGFF, the largest first: those that shrink in equal proportions are one."""
    images: list[Image] = []
    rest = list(arrays)
    while rest:
        image = plain_image(rest)
        images.append(image)
        rest = [array for array in rest if not any(array is level for level in image.levels)]
    return images


def plain_image(arrays: Sequence[Any]) -> Image:
    """Return the image of arrays without NGFF, the largest first; its scale is not known."""
    axes = Axes(guessed_axes(arrays[0]))
    return Image(levels_among(arrays, axes), axes, {})


def guessed_axes(array: Any) -> str:
    """Return the axes that an array names itself, or that its shape suggests: 3 channels are last or first."""
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.asdict().get("_ARRAY_DIMENSIONS")
    if named and all(named):
        return "".join(str(name)[:1].lower() if str(name).lower() != "s" else "c" for name in named)
    if array.ndim == 3:
        return "yxc" if array.shape[2] in (1, 3, 4) else "cyx"
    return KNOWN_AXES[-array.ndim :]
