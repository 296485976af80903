"""Which instances of one place on the glass are levels of one scan: those that cover the same, told by their headers.

wsidicom takes all instances of one origin for one pyramid. Of two with the same µm per px it keeps one, which need not
be the larger: a second scan would hide the slide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlaspatch_core.slides.dicom_files import VOLUME

KEYWORDS = ["ImageType", "SharedFunctionalGroupsSequence", "TotalPixelMatrixColumns", "TotalPixelMatrixRows"]
ROUNDED_PX = 2.0
"""px of the coarser of two levels by which what they cover may differ: sides are rounded, often twice."""
SAME_SCALE = 0.1
"""Share by which µm per px of one scale may differ."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What an instance covers of the glass."""

    px: tuple[int, int]
    mm_per_px: tuple[float, float]
    """Along x and y."""

    def covers_as(self, other: "Extent") -> bool:
        """Tell whether two instances can be levels of one scan."""
        axes = zip(self.px, self.mm_per_px, other.px, other.mm_per_px, strict=True)
        return all(abs(px * mm - px2 * mm2) <= ROUNDED_PX * max(mm, mm2) for px, mm, px2, mm2 in axes)

    def has_scale_of(self, other: "Extent") -> bool:
        """Tell whether two instances have the same µm per px."""
        return abs(self.mm_per_px[0] / other.mm_per_px[0] - 1) < SAME_SCALE


def files_by_extent(files: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Return files as scans: all together, unless two images of one scale have different sizes.

    Files without an image of the scan, such as the label, go with the first scan. Raises what pydicom raises.
    """
    extents = {file: extent for file in files if (extent := _extent(file))}
    scans: list[list[Path]] = []
    for file in sorted(extents, key=lambda file: extents[file].px, reverse=True):
        of_same = (scan for scan in scans if extents[scan[0]].covers_as(extents[file]))
        (next(of_same, None) or _added(scans)).append(file)
    if len(scans) < 2 or not _clash(list(extents.values())):
        return (tuple(files),)
    others = [file for file in files if file not in extents]
    return tuple(tuple(scan + (others if scan is scans[0] else [])) for scan in scans)


def _added(scans: list[list[Path]]) -> list[Path]:
    scans.append([])
    return scans[-1]


def _clash(extents: Sequence[Extent]) -> bool:
    """Tell whether two images of one scale cover different parts of the glass."""
    pairs = ((one, other) for place, one in enumerate(extents) for other in extents[:place])
    return any(one.has_scale_of(other) and not one.covers_as(other) for one, other in pairs)


def _extent(file: Path) -> Extent | None:
    """Return what an image of the scan covers; None for other images, and where the header does not say it."""
    from pydicom import dcmread

    header: Any = dcmread(file, stop_before_pixels=True, specific_tags=KEYWORDS)
    try:
        measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        down, across = map(float, measures.PixelSpacing)
        px = int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    is_scan = VOLUME.decode() in header.get("ImageType", ()) and min(*px, across, down) > 0
    return Extent(px, (across, down)) if is_scan else None
