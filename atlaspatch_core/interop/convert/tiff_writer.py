"""Writing the pyramid, and saying in it what it was made of."""

from pathlib import Path
from typing import Any

from atlaspatch_core.fingerprint import Identity, canonical_json
from atlaspatch_core.interop.convert.settings import TILE, Settings
from atlaspatch_core.interop.convert.vips import vips
from atlaspatch_core.slides.sections import SeriesChoice
from atlaspatch_core.texts import parse_json

STEP = "convert"
VERSION = 1
"""Raised whenever a change of the code changes the pixels."""
UM_PER_MM = 1000.0


def identity_of(content: str, mpp: float, settings: Settings, series: SeriesChoice = None) -> Identity:
    """Return what decides a converted file: the slide's content, image and µm per px, and the settings."""
    image = {"series": series} if isinstance(series, int) else {}
    return Identity(STEP, VERSION, settings.spec() | {"slide_mpp": mpp} | image, {"slide": content})


def write_pyramid(image: Any, path: Path, mpp: float, settings: Settings, identity: Identity) -> None:
    """Write a libvips image of ``mpp`` µm per px, downscaled, as BigTIFF, with its resolution.

    It has tiles, and levels by halves down to one tile. The description names ``identity``. Raises pyvips.Error.
    """
    if settings.downscale > 1:
        image = image.resize(1 / settings.downscale)
    per_mm = UM_PER_MM / (mpp * settings.downscale)  # libvips counts px per mm, and writes px per cm
    image = image.copy(interpretation="srgb", xres=per_mm, yres=per_mm)
    for name in ("orientation", "icc-profile-data", "image-description"):
        image.remove(name)
    image.set_type(vips().GValue.gstr_type, "image-description", description(identity))
    lossy = settings.compression == "jpeg"
    more = {"Q": settings.quality} if lossy else {"predictor": "horizontal"}
    image.tiffsave(
        str(path),
        tile=True,
        tile_width=TILE,
        tile_height=TILE,
        pyramid=True,
        bigtiff=True,
        compression=settings.compression,
        resunit="cm",
        **more,
    )


def description(identity: Identity) -> str:
    """Return the text that stands in the file."""
    return canonical_json({"made_by": "atlaspatch convert", "identity": identity.as_dict()})


def identity_in(path: Path) -> Identity | None:
    """Return what a file says that it was made of; None for a file that this package did not convert."""
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as file:
            identity = parse_json(getattr(file.pages.first, "description", ""))
        return Identity.from_dict(identity["identity"]) if identity["made_by"] == "atlaspatch convert" else None
    except (TiffFileError, OSError, ValueError, KeyError, TypeError, IndexError):
        return None
