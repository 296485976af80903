"""Pictures of one slide's results, drawn from what is stored: small ones for the web UI, large ones where asked for.

Each carries the fingerprints of what it shows, so that none outlives its mask or coords.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.pipeline import grid_picture, preview
from atlaspatch_core.pipeline.patch_images import save_images
from atlaspatch_core.pipeline.preview import Picture
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.storage.picture_provenance import (
    PictureState,
    grid_mark,
    picture_state,
    provenance_mark,
    with_mark,
)
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK

MOST_BYTES = 7900
"""Size of a picture for the web UI, without its stamp."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture that lies beside the results."""

    path: Path
    mark: str
    """Stamp of what it shows."""
    is_selected: bool
    """Whether the project asks for it."""
    draw: Callable[[], bytes]
    always: bool = False
    """Whether it is made unasked, where no such file lies."""

    def due(self) -> bool:
        """Tell whether it is to be drawn: asked for and missing, or ours and outdated; never over a file of others."""
        state = picture_state(self.path, self.mark)
        return state is PictureState.OUTDATED or (state is PictureState.MISSING and (self.always or self.is_selected))


def show_mask(work: SlideWork, mask: str, *, fresh: bool) -> Path:
    """Return the small picture of a slide's tissue outlines; drawn anew when they, of fingerprint ``mask``, changed."""
    path = work.store.small_picture(work.stem, "mask")
    _small(work, path, provenance_mark(work.fingerprints[SLIDE], mask), fresh, lambda base: _outlined(work, base))
    return path


def is_mask_shown(work: SlideWork, mask: str) -> bool:
    """Tell whether the small picture shows these outlines: then a run has seen them before."""
    path = work.store.small_picture(work.stem, "mask")
    return picture_state(path, provenance_mark(work.fingerprints[SLIDE], mask)) is PictureState.CURRENT


def show_grid(work: SlideWork, geometry: Geometry, *, fresh: bool) -> Path:
    """Return the small picture of a slide's patches, drawn anew when they changed."""
    path = work.store.small_picture(work.stem, "coords", geometry.name)
    mark = grid_mark(work.coords[geometry.name].fingerprint)
    _small(work, path, mark, fresh, lambda base: preview.draw_grid(base, work.grid(geometry), work.slide_info()))
    return path


def thumbnail(work: SlideWork) -> Picture:
    """Return the slide's thumbnail as it is stored, after taking and storing it where it is missing or outdated.

    One that others made is neither replaced nor drawn on: then the slide's own is taken once, and not stored.
    """
    path, mark = work.store.thumbnail(work.stem), provenance_mark(work.fingerprints[SLIDE])
    state = picture_state(path, mark)
    if state is PictureState.FOREIGN:
        if work.thumbnail is None:
            work.thumbnail = preview.thumbnail(work.slide())
        return work.thumbnail
    if state is not PictureState.CURRENT:
        work.store.write_file(work.stem, path, with_mark(preview.encode_jpeg(preview.thumbnail(work.slide())), mark))
    return np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def write_mask_pictures(work: SlideWork) -> None:
    """Write the overlays of the tissue mask that the project asks for, and those that show one that is no more.

    They are drawn from what is stored: the slide is not opened for them.
    """
    _write(work, _of_mask(work))


def write_grid_pictures(work: SlideWork, geometry: Geometry) -> None:
    """Write the overlays of a geometry in the same way, and the patch images that the project asks for."""
    _write(work, _of_grid(work, geometry))
    save_images(work, geometry)


def _write(work: SlideWork, overlays: Iterable[Overlay]) -> None:
    for overlay in overlays:
        if overlay.due():
            work.store.write_file(work.stem, overlay.path, with_mark(overlay.draw(), overlay.mark))


def _of_mask(work: SlideWork) -> Iterator[Overlay]:
    """Yield the pictures of the tissue mask."""
    pictures, store, stem = work.run.recipe.project.pictures, work.store, work.stem
    mark = provenance_mark(work.fingerprints[SLIDE], work.fingerprints[TISSUE_MASK])

    def veiled() -> bytes:
        return preview.encode_png(preview.draw_mask(thumbnail(work), work.polygons(), work.slide_info()))

    def bare() -> bytes:
        height, width = thumbnail(work).shape[:2]
        return preview.encode_png(preview.mask_picture((height, width), work.polygons(), work.slide_info()))

    yield Overlay(store.visualization(stem, kind="_mask"), mark, pictures.mask, veiled)
    yield Overlay(store.visualization(stem, kind="_mask_bw"), mark, pictures.mask, bare)
    outlined = store.visualization(stem, kind="_contours")
    yield Overlay(outlined, mark, pictures.contours, lambda: preview.encode_png(_outlined(work)))
    theirs = store.contours(stem)
    yield Overlay(theirs, mark, pictures.contours, lambda: preview.encode_jpeg(_outlined(work)), always=True)


def _of_grid(work: SlideWork, geometry: Geometry) -> Iterator[Overlay]:
    """Yield the pictures of the patches: AtlasPatch's name, and for geometries with a name TRIDENT's too."""
    grids, path = work.run.recipe.project.pictures.grids, work.store.visualization(work.stem, geometry.name)
    mark = grid_mark(work.coords[geometry.name].fingerprint)
    yield Overlay(path, mark, grids, lambda: preview.encode_png(_gridded(work, geometry)))
    if geometry.name:
        yield Overlay(path.with_suffix(".jpg"), mark, grids, lambda: preview.encode_jpeg(_gridded(work, geometry)))


def _small(work: SlideWork, path: Path, mark: str, fresh: bool, draw: Callable[[Picture], Picture]) -> None:
    state = picture_state(path, mark)
    if state is not PictureState.FOREIGN and (fresh or state is not PictureState.CURRENT):
        small = preview.encode_small_jpeg(thumbnail(work), MOST_BYTES, draw)
        work.store.write_file(work.stem, path, with_mark(small, mark))


def _outlined(work: SlideWork, base: Picture | None = None) -> Picture:
    return preview.draw_contours(thumbnail(work) if base is None else base, work.polygons(), work.slide_info())


def _gridded(work: SlideWork, geometry: Geometry) -> Picture:
    return grid_picture.draw_grid_picture(thumbnail(work), work.grid(geometry), work.slide_info())
