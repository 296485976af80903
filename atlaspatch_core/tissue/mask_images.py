"""Masks that are images over the whole slide: which of their pixels are tissue."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from atlaspatch_core.errors import UnusableMask
from atlaspatch_core.slides.slide import Bounds, SlideInfo
from atlaspatch_core.tissue.morphology import Mask
from atlaspatch_core.tissue.outline_origin import Origin

JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
ENOUGH = 4096
"""The smallest level of a pyramidal TIFF whose longer side has so many px is read; the first where none has."""
MOST = 2**28
"""Most px of a mask that is read; 16,384 square."""
ROUNDING = 1.5
"""px of a mask by which its sides may miss the slide's proportions: a level's sides are rounded, often twice."""
MOST_VALUES_NAMED = 8
LEAST_WHITE = 64
"""Value that tissue has at least in a JPEG: below, compression makes of it what it likes."""
MOST_BETWEEN = 0.2
"""Most share of a JPEG mask between a quarter and three quarters of its largest value: blurred edges."""
INK = ("CMYK", "LAB", "YCbCr", "SEPARATED", "CIELAB", "ICCLAB", "ITULAB")
"""Modes of Pillow, after it has decoded, and photometric interpretations of TIFF, in which zero is not black."""
ORIENTATION = 274
"""Tag of EXIF and TIFF; 1 is upright."""
STACKED = "QIZTH"
"""Axes of tifffile along which a file holds several images."""
PART = "the part that was scanned"
"""What the bounds of a slide are called."""


def read_mask_image(
    path: Path, info: SlideInfo, origin: Origin = "auto", tissue_values: Sequence[int] = ()
) -> tuple[Mask, Bounds]:
    """Return what is tissue, shape (height, width), and the part of the slide that it covers: all, or the bounds.

    Tissue is any value above zero of a grey image, of a label image or of a palette's indices, any colour but black,
    and, where all colours are the same, what is not transparent; in a TIFF whose zero is white, what is not black. In a
    JPEG, which blurs zero, it is half of the most. ``tissue_values`` are the labels that are tissue, if they are named.
    Raises UnusableMask when the file cannot be read, has other proportions than the slide, or no background at all;
    with ``tissue_values``, when its pixels are colours or are blurred.
    """
    try:
        values = _pixels(path, labels_are_named=bool(tissue_values))
    except MemoryError:
        raise
    except Exception as error:  # of damaged bytes a library may raise anything, such as SyntaxError of a broken PNG
        raise UnusableMask(f"{info.stem}: its mask {path} cannot be read ({error}); mend it or take it away") from error
    if values.ndim not in (2, 3) or values.size == 0:
        raise UnusableMask(f"{info.stem}: its mask {path} is no image that can be read; mend it or take it away")
    covered = _covered(path, values, info, origin)
    if tissue_values:
        return np.isin(_labels(path, values, info), tissue_values), covered
    grey = _grey(values)
    if unclear := _unclear(path, grey):
        raise UnusableMask(f"{info.stem}: its mask {path} {unclear}")
    mask = np.asarray(grey > (grey.max() / 2 if path.suffix.lower() in JPEG else 0), bool)
    if mask.all():
        raise UnusableMask(f"{info.stem}: {_without_background(path, grey)}")
    return mask, covered


def _pixels(path: Path, *, labels_are_named: bool) -> NDArray:
    read = _tiff if path.suffix.lower() in TIFF else _picture
    return read(path, labels_are_named=labels_are_named)


def _picture(path: Path, *, labels_are_named: bool) -> NDArray:
    """Return the pixels of a PNG or JPEG: indices of a palette, values as they are stored. Raises OSError."""
    with Image.open(path) as image:
        if image.width * image.height > MOST:
            raise ValueError(f"it has {image.width * image.height:,} px, more than {MOST:,}; store it smaller")
        if image.mode == "P" and not labels_are_named:
            _refuse_black_labels(np.array(image.getpalette("RGB")).reshape(-1, 3), np.asarray(image))
        if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and path.read_bytes()[24] == 16:
            raise ValueError("its colours have 16 bits; store 8, or one value a pixel")
        _refuse_ink_and_turns(image.mode in INK, image.getexif().get(ORIENTATION))
        return np.asarray(image)


def _refuse_black_labels(palette: NDArray, indices: NDArray) -> None:
    """Raise ValueError for a palette, shape (n, 3), that shows index 0 in a colour, and one in use in black."""
    black = [index for index in np.unique(indices) if index < len(palette) and not palette[index].any()]
    if palette[0].any() and black:
        raise ValueError(
            f"its palette shows index {black[0]} in black and index 0 in a colour, so that neither is surely the "
            "background; name the indices that are tissue (--mask-values)"
        )


def _refuse_ink_and_turns(is_ink: bool, orientation: int | None) -> None:
    """Raise ValueError for amounts of ink, and for a picture that is to be turned before it is shown."""
    if is_ink:
        raise ValueError("its pixels are amounts of ink (CMYK) or no RGB (Lab, YCbCr); store one value a pixel")
    if orientation not in (None, 0, 1):
        raise ValueError(
            f"it says that it is to be turned or mirrored to be seen (orientation {orientation}), which programs do "
            "and leave; store it as it is to lie on the slide"
        )


def _tiff(path: Path, *, labels_are_named: bool) -> NDArray:
    """Return the pixels of the first image of a TIFF, of a level that is large enough. Raises ValueError."""
    with tifffile.TiffFile(path) as file:
        first = file.series[0]
        if len(file.series) > 1 and any(other.shape == first.shape for other in file.series[1:]):
            raise ValueError(f"it holds {len(file.series)} images; leave one")
        if extra := [
            f"{size} along {axis}"
            for axis, size in zip(first.axes, first.shape, strict=True)
            if axis in STACKED and size > 1
        ]:
            raise ValueError(f"it holds several images ({', '.join(extra)}); leave one")
        levels = first.levels
        level = next((one for one in reversed(levels) if max(one.shape[:2]) >= ENOUGH), levels[0])
        if level.size > MOST * 3:
            raise ValueError(f"it has {level.size:,} values, more than {MOST * 3:,}; store it smaller")
        values, page = np.asarray(level.asarray()), level.keyframe
        tag = page.tags.get(ORIENTATION)
        _refuse_ink_and_turns(tifffile.PHOTOMETRIC(page.photometric).name in INK, int(tag.value) if tag else None)
        if page.colormap is not None and not labels_are_named:
            _refuse_black_labels(page.colormap.T, values)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and not labels_are_named:
            values = _whiteness(values)
    return np.moveaxis(values, 0, -1) if level.axes.startswith(("S", "C")) and values.ndim == 3 else values


def _whiteness(values: NDArray) -> NDArray[np.int64]:
    """Return how white pixels are whose zero is white. Raises ValueError where it is not said which are tissue."""
    if values.dtype == bool:
        raise ValueError(
            "its zero is white at 1 bit a pixel, as drawings have it, and as tifffile stores arrays of True and False; "
            "name the value that is tissue (--mask-values 1, or 0)"
        )
    if values.dtype.kind == "f":
        raise ValueError("its zero is white, and its values are no whole numbers; store 0 and 1")
    return np.iinfo(values.dtype).max - values.astype(np.int64)


def _grey(values: NDArray) -> NDArray:
    """Return one value a pixel: the first colour, or the alpha where that alone differs."""
    if values.ndim == 2:
        return values
    colours, alpha = (values[..., :-1], values[..., -1]) if values.shape[2] in (2, 4) else (values, None)
    if alpha is not None and alpha.min() < alpha.max() and (colours == colours[:1, :1]).all():
        return alpha
    return colours.max(axis=2)


def _labels(path: Path, values: NDArray, info: SlideInfo) -> NDArray:
    """Return one label a pixel, shape (height, width). Raises UnusableMask for colours, and for a blurred JPEG."""
    if path.suffix.lower() in JPEG:
        raise UnusableMask(f"{info.stem}: its mask {path} is a JPEG, which blurs labels (--mask-values); store a PNG")
    if values.ndim == 2:
        return values.astype(np.int64) if values.dtype == bool else values
    colours = values[..., :-1] if values.shape[2] in (2, 4) else values
    if not (colours == colours[..., :1]).all():
        raise UnusableMask(
            f"{info.stem}: its mask {path} has colours, no labels (--mask-values); store one value a pixel, or indices"
        )
    return colours[..., 0]


def _covered(path: Path, values: NDArray, info: SlideInfo, origin: Origin) -> Bounds:
    """Return of what the mask has the proportions: of the slide, or of what was scanned of it, as QuPath shows it.

    Raises UnusableMask unless the mask is that, made smaller, or larger, by one factor.
    """
    height, width = values.shape[:2]
    shapes = dict.fromkeys([(1.0, 1.0), info.file_px])  # a mask may have px as the file has, or square ones
    parts = {"slide": Bounds(0, 0, info.width, info.height), "bounds": info.bounds}
    candidates = [part for name, part in parts.items() if part and origin in ("auto", name)]
    candidates = candidates or [parts["slide"]]
    for part in candidates:
        if part and any(_fits(width, height, part.width * across, part.height * down) for across, down in shapes):
            return part
    expected = candidates[0] or parts["slide"]
    what, whole = (PART, f"{PART} (--masks-origin)") if expected is info.bounds else ("the slide", "the whole slide")
    turned = " (turned by a quarter?)" if _fits(height, width, expected.width, expected.height) else ""
    raise UnusableMask(
        f"{info.stem}: its mask {path} has {width} × {height} px{turned}, {what} {expected.width} × {expected.height}: "
        f"other proportions ({width / height:.3f} against {expected.width / expected.height:.3f}); give one of {whole}"
    )


def is_of_slide_or_part(width: int, height: int, info: SlideInfo) -> bool:
    """Tell whether a mask has the proportions of the slide and those of the part of it that was scanned, too."""
    part, px = info.bounds, (info.width, info.height)
    if part is None or (part.x, part.y, part.width, part.height) == (0, 0, *px):
        return False
    return _fits(width, height, *px) and _fits(width, height, part.width, part.height)


def _fits(width: int, height: int, slide_width: float, slide_height: float) -> bool:
    of_width = abs(width - height * slide_width / slide_height) <= ROUNDING
    return of_width or abs(height - width * slide_height / slide_width) <= ROUNDING


def _unclear(path: Path, grey: NDArray) -> str:
    """Return why values do not say what is tissue, a clause: fractions, and a JPEG that is no picture of two values."""
    if grey.dtype.kind == "f" and len(np.unique(grey[grey > 0])) > 1:
        return "holds fractions, such as probabilities; store 0 and 1"
    if path.suffix.lower() not in JPEG or not (most := int(grey.max())):
        return ""
    if most < LEAST_WHITE:
        return f"is a JPEG, which blurs values as small as {most}; store a PNG, or tissue as 255"
    between = np.mean((grey > most / 4) & (grey < most * 3 / 4))
    darkest = np.mean(grey <= most / 4)
    return "" if between < MOST_BETWEEN and darkest else "is a photograph rather than black and white; store 0 and 255"


def _without_background(path: Path, grey: NDArray) -> str:
    values = np.unique(grey)
    shown = ", ".join(str(value) for value in values[:MOST_VALUES_NAMED].tolist())
    more = " ..." if len(values) > MOST_VALUES_NAMED else ""
    return (
        f"every pixel of its mask {path} is above zero (values {shown}{more}), so that glass would be tissue, too; "
        "name the values that are tissue (--mask-values), or store the background as 0"
    )
