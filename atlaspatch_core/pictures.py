"""Pictures of one slide's results, drawn from what is stored: small ones for the web UI, large ones where asked for."""

from pathlib import Path

import cv2
import numpy as np

from atlaspatch_core import preview
from atlaspatch_core.atomic import replacing
from atlaspatch_core.patches import stream_patches
from atlaspatch_core.preview import Picture
from atlaspatch_core.project import Geometry
from atlaspatch_core.steps.work import SlideWork


def show_mask(work: SlideWork, *, fresh: bool) -> Path:
    """Return the small picture of a slide's tissue outlines, drawn anew when they changed."""
    path = work.store.small_picture(work.stem, "mask")
    geojson = work.store.geojson(work.stem)
    if fresh or not path.exists() or path.stat().st_mtime_ns < geojson.stat().st_mtime_ns:
        small = preview.encode_small_jpeg(
            thumbnail(work, fresh=fresh), draw=lambda base: preview.draw_contours(base, work.polygons(), work.known())
        )
        work.store.keep_file(work.stem, path, small)
    return path


def show_grid(work: SlideWork, geometry: Geometry, *, fresh: bool) -> Path:
    """Return the small picture of a slide's patches, drawn anew when they changed."""
    path = work.store.small_picture(work.stem, "coords", geometry.name)
    if fresh or not path.exists():
        grid = work.grid(geometry)
        small = preview.encode_small_jpeg(
            thumbnail(work), draw=lambda base: preview.draw_grid(base, grid, work.known(), lines=())
        )
        work.store.keep_file(work.stem, path, small)
    return path


def thumbnail(work: SlideWork, *, fresh: bool = False) -> Picture:
    """Return the slide's thumbnail as it is stored, after taking and storing it where it is missing or ``fresh``."""
    path = work.store.thumbnail(work.stem)
    if fresh or not path.exists():
        work.store.keep_file(work.stem, path, preview.encode_jpeg(preview.thumbnail(work.slide())))
    return np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def write_pictures(work: SlideWork) -> None:
    """Write the overlays and patch images that the project asks for; those that lie there already are left alone."""
    wanted = work.run.recipe.project.pictures
    if wanted.mask:
        _write_mask(work)
    if wanted.contours:
        _overlay(work, preview.draw_contours(thumbnail(work), work.polygons(), work.known()), "_contours")
    for geometry in work.run.recipe.project.geometry:
        if geometry.name not in work.coords:
            continue
        if wanted.grids:
            drawn = preview.draw_grid(thumbnail(work), work.grid(geometry), work.known())
            _overlay(work, drawn, "", geometry.name)
        if wanted.save_images:
            _save_images(work, geometry)


def _write_mask(work: SlideWork) -> None:
    small = thumbnail(work)
    _overlay(work, preview.draw_mask(small, work.polygons(), work.known()), "_mask")
    mask = preview.mask_picture((small.shape[0], small.shape[1]), work.polygons(), work.known())
    work.store.keep_file(work.stem, work.store.visualization(work.stem, kind="_mask_bw"), preview.encode_png(mask))


def _overlay(work: SlideWork, drawn: Picture, kind: str, geometry: str = "") -> None:
    path = work.store.visualization(work.stem, geometry, kind=kind)
    work.store.keep_file(work.stem, path, preview.encode_png(drawn))


def _save_images(work: SlideWork, geometry: Geometry) -> None:
    """Write every patch as a PNG; what else lies in the folder belongs to earlier coords and is removed."""
    grid = work.grid(geometry)
    paths = [work.store.patch_image(work.stem, x, y, geometry.name) for x, y in grid.coords.tolist()]
    folder = work.store.patch_image(work.stem, 0, 0, geometry.name).parent
    note = folder / ".coords"
    fingerprint = work.coords[geometry.name].fingerprint.encode()
    if note.exists() and note.read_bytes() == fingerprint and all(path.exists() for path in paths):
        return
    for stray in set(folder.glob("*")) - set(paths):
        stray.unlink()
    readers = work.run.recipe.project.runtime.readers
    for batch in stream_patches(work.slide(), grid, batch_size=64, workers=readers):
        for row, patch in zip(batch.rows.tolist(), batch.patches, strict=True):
            with replacing(paths[row]) as temporary:
                temporary.write_bytes(preview.encode_png(patch))
    with replacing(note) as temporary:
        temporary.write_bytes(fingerprint)
