"""From a geometry and a slide's scale to the level and the number of px to read."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from atlaspatch_core.errors import FinerThanScanned
from atlaspatch_core.patches.grid_spec import GridSpec, Resample
from atlaspatch_core.slides.mpp import UM_TIMES_MAGNIFICATION
from atlaspatch_core.slides.slide import Level, SlideInfo

MPP_TOLERANCE = 0.05
"""A level this close to the target is read as it is: scanners of one magnification differ by more."""
NOMINAL_TOLERANCE = 0.01
"""Downsamples this close are equal to AtlasPatch, absolute."""
TRIDENT_TOLERANCE = 0.1
"""Downsamples this close are equal to TRIDENT, absolute."""
ROUNDING = 1e-9
"""Relative error of 10 / (10 / magnification)."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the patches of one geometry are cut from one slide. ``choose_sampling`` makes it; everyone reads it."""

    patch_size: int
    """Side of a patch as encoders see it, px."""
    level: int
    """Level that is read."""
    read_size: int
    """Side of the square that is read, px of ``level``; it is resampled to ``patch_size`` where they differ."""
    patch_size_level0: int
    """Side of a patch, level-0 px."""
    step_size_level0: int
    """Distance of neighbouring patches, level-0 px."""
    mpp: float
    """µm per px of the patch as encoders see it."""
    fill: int = 255
    """Value of px outside the slide, 0 or 255."""
    resample: Resample = "area"
    """How the square that is read becomes a patch where their sizes differ."""

    def facts(self) -> dict[str, Any]:
        """Return JSON values for an identity; what goes without saying is left out."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name]}


def choose_sampling(info: SlideInfo, spec: GridSpec) -> Sampling:
    """Return what to read so that patches have the scale that ``spec`` asks for.

    ``true`` scale: a level within 5 % of ``target_mpp`` is read as it is, otherwise the coarsest finer level, to be
    averaged down. ``nominal``: the ratio of magnifications decides, and the level is AtlasPatch's choice, or TRIDENT's
    by its rule.
    Raises FinerThanScanned when the slide has not the detail.
    """
    return nominal_sampling(info, spec) if spec.scale == "nominal" else true_sampling(info, spec)


def true_sampling(info: SlideInfo, spec: GridSpec) -> Sampling:
    """Return the sampling by µm."""
    if not reaches(info.mpp, spec.target_mpp):
        raise FinerThanScanned(
            f"{info.stem}: asked for {spec.target_mpp:.6g} µm/px ({UM_TIMES_MAGNIFICATION / spec.target_mpp:.4g}x), "
            f"scanned at {info.mpp:.6g} µm/px ({info.mpp_source}); ask for {info.mpp:.6g} µm/px or more "
            f"({UM_TIMES_MAGNIFICATION / info.mpp:.4g}x or less){or_by_name(info, spec)}"
        )
    downsample = spec.target_mpp / info.mpp
    native = [
        index for index, level in enumerate(info.levels) if is_native(info.mpp * level.downsample, spec.target_mpp)
    ]
    if native:
        level = min(native, key=lambda index: abs(info.levels[index].downsample - downsample))
        return sample(info, spec, level, info.levels[level].downsample, spec.patch_size)
    level = max(index for index, level in enumerate(info.levels) if level.downsample <= downsample)
    return sample(info, spec, level, downsample)


def or_by_name(info: SlideInfo, spec: GridSpec) -> str:
    """Return the way that works for a slide that is called as fine as asked for, or nothing.

    Scanners of 40x have 0.22 to 0.28 µm/px: a GT450 has 0.2639.
    """
    target = whole_if_close(UM_TIMES_MAGNIFICATION / spec.target_mpp)
    if target > info.magnification:
        return ""
    return f", or take the {info.magnification:.4g}x of the scanner for {target:.4g}x (--scale nominal)"


def nominal_sampling(info: SlideInfo, spec: GridSpec) -> Sampling:
    """Return the sampling by nominal magnifications, numbers equal to AtlasPatch's."""
    target = whole_if_close(UM_TIMES_MAGNIFICATION / spec.target_mpp)
    if target > info.magnification:
        raise FinerThanScanned(
            f"{info.stem}: asked for {target:.4g}x, scanned at {info.magnification:.4g}x "
            f"({info.magnification_source}); ask for {info.magnification:.4g}x or less"
        )
    downsample = info.magnification / target
    tolerance = TRIDENT_TOLERANCE if spec.rule == "trident" else NOMINAL_TOLERANCE
    level = nominal_level(info.levels, downsample, tolerance)
    read_size = trident_read_size(spec, downsample, info.levels[level]) if spec.rule == "trident" else None
    return sample(info, spec, level, downsample, read_size)


def trident_read_size(spec: GridSpec, downsample: float, level: Level) -> int:
    """Return the px of a level that TRIDENT reads, which takes the whole number in its downsample for all of it.

    Where that is more than its tolerance off (3 for 3.998), patches would have another scale than was asked for: there
    the downsample counts as it is.
    """
    whole = math.floor(level.downsample)
    divisor = whole if level.downsample - whole <= TRIDENT_TOLERANCE else level.downsample
    return max(1, round(round(spec.patch_size * downsample) / divisor))


def nominal_level(levels: tuple[Level, ...], downsample: float, tolerance: float) -> int:
    """Return the first level with that downsample within ``tolerance``, or else the coarsest that is finer."""
    equal = (i for i, level in enumerate(levels) if abs(level.downsample - downsample) < tolerance)
    finer = max((i for i, level in enumerate(levels) if level.downsample <= downsample), default=0)
    return next(equal, finer)


def sample(info: SlideInfo, spec: GridSpec, level: int, downsample: float, read_size: int | None = None) -> Sampling:
    """Return the sampling whose px are ``downsample`` level-0 px wide, read from ``level``; halves round to even."""
    level_downsample = info.levels[level].downsample
    patch_size_level0 = max(1, round(spec.patch_size * downsample))
    read_size = read_size or max(1, round(patch_size_level0 / level_downsample))
    return Sampling(
        patch_size=spec.patch_size,
        level=level,
        read_size=read_size,
        patch_size_level0=patch_size_level0,
        step_size_level0=_step(spec, downsample, patch_size_level0),
        mpp=info.mpp * level_downsample * read_size / spec.patch_size,
        fill=spec.fill,
        resample=spec.resampling,
    )


def _step(spec: GridSpec, downsample: float, patch_size_level0: int) -> int:
    """Return the distance of neighbours, level-0 px: TRIDENT rounds what they share, AtlasPatch the distance."""
    if spec.rule == "trident" and spec.overlap:
        return max(1, patch_size_level0 - round(spec.overlap * downsample))
    return max(1, round(spec.step * downsample))


def level_facts(info: SlideInfo, level: int) -> dict[str, list[float]]:
    """Return what of a level decides patches beside their sampling: scales that differ by axis, if they do."""
    axes = info.levels[level].axes
    return {"axes": list(axes)} if axes else {}


def reaches(mpp: float, target_mpp: float) -> bool:
    """Say whether pixels of ``mpp`` hold the detail of ``target_mpp``."""
    return target_mpp >= mpp * (1 - MPP_TOLERANCE - ROUNDING)


def is_native(mpp: float, target_mpp: float) -> bool:
    """Say whether pixels of ``mpp`` pass for ``target_mpp``."""
    return abs(target_mpp - mpp) <= mpp * (MPP_TOLERANCE + ROUNDING)


def whole_if_close(number: float) -> float:
    """Return the whole number that float division has blurred, or the number itself."""
    return float(round(number)) if abs(number - round(number)) <= ROUNDING * number else number
