"""An inspection as JSON values; the keys stand in ``docs/inspecting.md`` and stay."""

from collections.abc import Iterator
from dataclasses import asdict
from io import BytesIO
from typing import Any

from atlaspatch_core.discovery.usable_names import printable
from atlaspatch_core.operations.slide_files.associated import stated_tile
from atlaspatch_core.operations.slide_files.values import FileInspection, FilePart
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.readers.openslide_pixels import background_of
from atlaspatch_core.slides.slide import SlideInfo


def inspection_values(inspection: FileInspection) -> dict[str, Any]:
    """Return all that was found, fit for JSON and for printing; what is not known is null."""
    page = inspection.described_page
    values = {
        "slide": inspection.stem,
        "path": shown_path(inspection.path),
        "files": inspection.files,
        "bytes": inspection.size_bytes,
        "error": inspection.error or None,
        "taken": _opening(inspection, inspection.info) if inspection.info else None,
        "levels": list(level_values(inspection)),
        "pixels": _pixels(inspection),
        "planes": {"focal": inspection.contents.focal_planes, "time": inspection.contents.time_points},
        "scales": [asdict(scale) for scale in inspection.scales],
        "described_page": page and {"width": page.width, "height": page.height},
        "magnifications": [asdict(magnification) for magnification in inspection.magnifications],
        "readers": [asdict(verdict) for verdict in inspection.readers],
        "parts": [_part(part) for part in inspection.contents.parts],
        "parts_unknown": inspection.contents.unknown or None,
        "warnings": list(inspection.warnings),
    }
    return {name: _printable(value) for name, value in values.items()}


def _printable(value: Any) -> Any:
    """Return a value with names of files as they can be printed."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(one) for one in value]
    return {name: _printable(one) for name, one in value.items()} if isinstance(value, dict) else value


def level_values(inspection: FileInspection) -> Iterator[dict[str, Any]]:
    """Yield the levels that are taken, each with the part of the file that it is, as far as that is known."""
    for number, level in enumerate(inspection.info.levels if inspection.info else ()):
        part = inspection.contents.of_level(number)
        tile = (part and part.tile) or (inspection.info and stated_tile(inspection.info, number))
        across, down = level.downsamples
        yield {
            "level": number,
            "width": level.width,
            "height": level.height,
            "downsample_x": across,
            "downsample_y": down,
            "tile_width": tile[0] if tile else None,
            "tile_height": tile[1] if tile else None,
            "compression": part.compression if part and part.compression else None,
            "part": f"{part.kind} {part.name}" if part else None,
            "absent_tiles": inspection.absent_tiles[number],
        }


def profile_name(profile: bytes) -> str:
    """Return what an ICC profile calls itself; empty where it does not, or cannot be read."""
    from PIL import ImageCms

    try:
        return (ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))) or "").strip()
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return ""


def _opening(inspection: FileInspection, info: SlideInfo) -> dict[str, Any]:
    has_scale = inspection.has_scale
    return {
        "reader": info.reader,
        "vendor": info.vendor,
        "institution": info.institution,
        "stain": info.stain,
        "series": info.series,
        "reading": info.reading or None,
        "width": info.width,
        "height": info.height,
        "mpp": info.mpp if has_scale else None,
        "mpp_source": info.mpp_source if has_scale else None,
        "magnification": info.magnification if has_scale else None,
        "magnification_source": info.magnification_source if has_scale else None,
        "bounds": info.bounds and asdict(info.bounds),
    }


def _pixels(inspection: FileInspection) -> dict[str, Any] | None:
    """Return how the pixels of level 0 are stored; None where that is not known."""
    part, profile = inspection.contents.of_level(0), inspection.contents.icc_profile
    if part is None or inspection.info is None:
        return None
    icc = {"bytes": len(profile), "name": profile_name(profile) or None} if profile else None
    return {
        "samples": part.samples,
        "bits": part.bits,
        "colours": part.colours or None,
        "alpha": part.has_alpha,
        "background": "#{:02x}{:02x}{:02x}".format(*background_of(inspection.info.properties)),
        "icc_profile": icc,
    }


def _part(part: FilePart) -> dict[str, Any]:
    values = asdict(part)
    tile = values.pop("tile")
    values["alpha"] = values.pop("has_alpha")
    return values | {"tile_width": tile[0] if tile else None, "tile_height": tile[1] if tile else None}
