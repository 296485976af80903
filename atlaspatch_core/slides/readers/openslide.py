"""Vendor formats through OpenSlide: Aperio, Hamamatsu, Leica, MIRAX, Ventana, DICOM, tiled TIFF and others."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import MissingExtra, UnreadableSlide
from atlaspatch_core.slides.dicom_files import instances, is_dicom
from atlaspatch_core.slides.mpp import StatedMpp, find_scale
from atlaspatch_core.slides.readers.advice import COPY, MORE_LENIENT
from atlaspatch_core.slides.readers.claims import MOST_UNSTORED
from atlaspatch_core.slides.readers.dicom import sections_of as dicom_sections
from atlaspatch_core.slides.readers.dicom_claims import check_instances
from atlaspatch_core.slides.readers.labels import institution_of, stain_of, vendor_of
from atlaspatch_core.slides.readers.openslide_checks import (
    check_brightfield,
    check_one_pyramid,
    check_scene,
    is_decoded_as_tiff,
)
from atlaspatch_core.slides.readers.openslide_files import check_installed, file_of, recognises, refusal
from atlaspatch_core.slides.readers.openslide_pixels import backdrop, background_of, composite, place_of
from atlaspatch_core.slides.readers.openslide_tiff import VENDORS, PlainTiff, choose_tiff_levels
from atlaspatch_core.slides.readers.reader import Reader
from atlaspatch_core.slides.readers.region_checks import RegionChecks
from atlaspatch_core.slides.readers.selected_levels import select_levels
from atlaspatch_core.slides.readers.tiff import is_tiff
from atlaspatch_core.slides.readers.tiff import sections_of as tiff_sections
from atlaspatch_core.slides.readers.windows import file_px_of
from atlaspatch_core.slides.slide import Bounds, Level, Region, Slide, SlideInfo, stem_of

if TYPE_CHECKING:
    from openslide import OpenSlide
    from PIL.Image import Image

NAME = "openslide"
STRIPS = "hamamatsu"
"""A vendor whose TIFFs have no tiles."""


@final
class OpenSlideSlide(Slide):
    """A slide that OpenSlide reads; safe to read from several threads, as OpenSlide is."""

    def __init__(
        self, handle: "OpenSlide", info: SlideInfo, checks: RegionChecks | None = None, *, drops_alpha: bool = False
    ) -> None:
        self._handle = handle
        self._info = info
        self._checks = checks
        self._drops_alpha = drops_alpha
        self._refusal: UnreadableSlide | None = None
        self._background = background_of(handle.properties)

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3): transparent ones in the background colour, white outside the slide."""
        from openslide import OpenSlideError

        level = self._info.levels[region.level]
        if self._refusal:  # from its first error on OpenSlide fails everywhere, and would blame the wrong place
            raise self._refusal
        if self._checks:
            self._checks.check(region, level)
        try:
            image = self._handle.read_region(place_of(region, level), region.level, (region.width, region.height))
        except OpenSlideError:  # perhaps what it met for another thread, elsewhere
            image = self._read_anew(region)
        if self._drops_alpha:
            return np.ascontiguousarray(np.asarray(image)[..., :3])
        return composite(np.asarray(image), backdrop(region, level, self._background))

    def _read_anew(self, region: Region) -> "Image":
        """Return the RGBA px of a region through a handle of its own, which blames no other place."""
        from openslide import OpenSlide, OpenSlideError

        place = place_of(region, self._info.levels[region.level])
        try:
            with OpenSlide(file_of(self._info.path)) as handle:
                return handle.read_region(place, region.level, (region.width, region.height))
        except OpenSlideError as error:
            self._refusal = UnreadableSlide(
                f"{self._info.stem}: the pixels at ({region.x}, {region.y}) of level {region.level} cannot be decoded "
                f"({error}), {self._cause_and_cure(region)}"
            )
            raise self._refusal from error

    def without_alpha(self) -> Slide:
        """Return the slide as OpenSlide places and colours its px."""
        return OpenSlideSlide(self._handle, self._info.with_one_downsample(), self._checks, drops_alpha=True)

    def _cause_and_cure(self, region: Region) -> str:
        """Return what to do about pixels that OpenSlide does not decode: another reader may."""
        if self._info.vendor == "generic-tiff" and is_decoded_as_tiff(self._info.path, region):
            return f"which the reader of TIFFs does; {MORE_LENIENT}"
        return f"the file is damaged; {COPY}"

    def close(self) -> None:
        """Release the file."""
        self._handle.close()
        if self._checks:
            self._checks.close()


def open_with_openslide(path: Path, stated: StatedMpp, series: int | None = None) -> Slide:
    """Open a slide; ``stated`` is what the user says of its scale, ``series`` which image of the file is asked for."""
    check_installed(path)
    from openslide import OpenSlide, OpenSlideError

    file = file_of(path)
    if is_dicom(file):
        check_instances(path, instances(path))
    with ExitStack() as opened:
        try:
            handle = opened.enter_context(OpenSlide(file))
        except OpenSlideError as error:
            raise refusal(path, str(error)) from error
        slide = checked_slide(path, handle, stated, series)
        opened.pop_all()  # the slide closes it
        return slide


def checked_slide(path: Path, handle: "OpenSlide", stated: StatedMpp, series: int | None) -> Slide:
    """Return the slide of an open handle, without what OpenSlide takes for a part of it and is none."""
    vendor = handle.properties.get("openslide.vendor")
    check_brightfield(path, handle.properties)
    if vendor == "dicom":
        check_one_pyramid(path, series)
        return OpenSlideSlide(handle, describe(path, handle, stated), frame_checks(path, handle.level_dimensions))
    if vendor not in VENDORS:
        check_scene(path, handle.properties, series)
        check_vendor_tiles(path, handle)
        return OpenSlideSlide(handle, describe(path, handle, stated))
    chosen = choose_tiff_levels(path, handle.level_dimensions, series)
    slide = OpenSlideSlide(handle, describe(path, handle, stated), tile_checks(path, chosen))
    return select_levels(slide, chosen.numbers, chosen.notes)


def check_vendor_tiles(path: Path, handle: "OpenSlide") -> None:
    """Raise UnreadableSlide where level 0 of a vendor's TIFF claims more than its tiles store."""
    from atlaspatch_core.slides.readers.tiff_claims import check_level_claim

    width, height = handle.dimensions
    if width * height > MOST_UNSTORED and is_tiff(path) and handle.properties.get("openslide.vendor") != STRIPS:
        check_level_claim(path, (width, height))


def sections_of(path: Path) -> tuple[int, ...]:
    """Return the numbers of the scans of a TIFF that holds several.

    Raises UnsupportedSlide for what another reader tells apart: pyramids of DICOM, scenes of a CZI; UnreadableSlide.
    """
    check_installed(path)
    from openslide import OpenSlide, OpenSlideError

    vendor = OpenSlide.detect_format(file_of(path))
    if vendor is None:
        raise refusal(path, "Unsupported or missing image file")
    if vendor in VENDORS:
        return tiff_sections(path)
    if vendor == "dicom":
        return pyramids_of(path)
    if vendor != "zeiss":
        return ()
    try:
        with OpenSlide(path) as handle:
            check_scene(path, handle.properties, 0)
    except OpenSlideError as error:
        raise refusal(path, str(error)) from error
    return ()


def pyramids_of(path: Path) -> tuple[int, ...]:
    """Return the numbers of the pyramids of a DICOM series; without the library that tells them, UIDs alone count."""
    try:
        return dicom_sections(path)
    except MissingExtra:
        check_one_pyramid(path, None)
        return ()


def tile_checks(path: Path, tiff: PlainTiff) -> RegionChecks | None:
    """Return what looks at the tiles of a TIFF, where OpenSlide does not tell damage."""
    from atlaspatch_core.slides.readers.stored_tiles import StoredTiles

    if not tiff.tiles:
        return None
    places = {number: place for place, number in enumerate(tiff.numbers)}
    return RegionChecks(path, StoredTiles(path, list(tiff.tiles)), places)


def frame_checks(path: Path, sizes: Sequence[tuple[int, int]]) -> RegionChecks:
    """Return what looks at the frames of DICOM."""
    from atlaspatch_core.slides.readers.dicom_frames import FrameChecks

    return RegionChecks(path, FrameChecks(instances(path), sizes), {number: number for number in range(len(sizes))})


def describe(path: Path, handle: "OpenSlide", stated: StatedMpp) -> SlideInfo:
    """Return what the properties tell."""
    properties = dict(handle.properties)
    scale = find_scale(stem_of(path), properties, stated, handle.dimensions)
    sizes = zip(handle.level_dimensions, handle.level_downsamples, strict=True)
    return SlideInfo(
        stem=stem_of(path),
        path=path,
        reader=NAME,
        levels=tuple(Level.of(size, handle.dimensions, downsample) for size, downsample in sizes),
        mpp=scale.mpp.value,
        mpp_source=scale.mpp.source,
        magnification=scale.magnification,
        magnification_source=scale.magnification_source,
        vendor=vendor_of(properties),
        institution=institution_of(properties),
        stain=stain_of(properties),
        scale_note=scale.note,
        file_px=file_px_of(scale),
        bounds=bounds_of(properties),
        properties=properties,
    )


def bounds_of(properties: Mapping[str, str]) -> Bounds | None:
    """Return what was scanned, where a slide states it: QuPath shows that alone, and counts from its corner."""
    stated = [properties.get(f"openslide.bounds-{side}", "") for side in ("x", "y", "width", "height")]
    try:
        bounds = Bounds(*map(int, stated))
    except ValueError:
        return None
    return bounds if bounds.width > 0 and bounds.height > 0 else None


OPENSLIDE = Reader(
    name=NAME,
    suffixes=(".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".biff", ".dcm", ".dicom"),
    recognises=recognises,
    open=open_with_openslide,
    sections=sections_of,
)
