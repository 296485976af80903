"""TRIDENT's folders: coords, features and slide features under its names, dtypes and attributes; outlines, pictures.

Where a reader takes the magnifications of the coords rather than ``patch_size_level0``, it must come to the same
pixels: ``target_magnification`` is then not the nominal one but the one that gives them, such as 20.197.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely

from atlaspatch_core.encoders.patch.trident import PREFIXES
from atlaspatch_core.encoders.patch.trident import TRIDENT as KEYS
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.interop.export.files import digest, write_h5, write_tensor
from atlaspatch_core.interop.export.values import (
    Artifact,
    ExportLayout,
    ExportResult,
    GeometryResults,
    SlideResults,
    Target,
)
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline import preview
from atlaspatch_core.pipeline.grid_picture import draw_grid_picture
from atlaspatch_core.slides.mpp import bucket
from atlaspatch_core.slides.slide import OutlineFrame
from atlaspatch_core.storage import schema
from atlaspatch_core.storage.picture_provenance import (
    GRID_DRAWING,
    PictureState,
    grid_mark,
    picture_state,
    provenance_mark,
    with_mark,
)
from atlaspatch_core.tissue.contours import DECIMALS, rings_of

VERSION = 1
"""Raised when files come to look different."""
OURS = "atlaspatch-"
"""Before names that mean other numbers to TRIDENT."""
ANY_CRS = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
"""What its readers expect where coordinates are px."""


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:
    """Yield the files of one slide. Raises InvalidProject where two geometries have one folder."""
    _check_folders(slide)
    if slide.mask:
        yield from _of_mask(slide, slide.mask)
    for geometry in slide.geometries:
        yield from _of_geometry(slide, geometry, target)


def _check_folders(slide: SlideResults) -> None:
    folders: dict[str, str] = {}
    for geometry in slide.geometries:
        if (other := folders.setdefault(geometry.folder, geometry.name)) != geometry.name:
            raise InvalidProject(
                f"{slide.stem}: the geometries {other!r} and {geometry.name!r} would both lie in {geometry.folder}; "
                "choose one of them with --geometry, and export the other to another folder"
            )


def _of_mask(slide: SlideResults, mask: ExportResult) -> Iterator[Artifact]:
    """Yield outlines, thumbnail, and the thumbnail with outlines; no pictures where there is no thumbnail."""
    store, stem = slide.store, slide.stem
    path = Path("contours_geojson", f"{stem}.geojson")
    yield Artifact(path, _of("geojson", mask), lambda to: to.write_bytes(geojson(slide, mask)), store.geojson(stem))
    thumbnail = _thumbnail(slide)
    if thumbnail is None:
        return
    path = Path("thumbnails", f"{stem}.jpg")
    content = thumbnail.read_bytes()
    yield Artifact(path, digest("thumbnail", VERSION, slide.slide), lambda to: to.write_bytes(content), thumbnail)
    of, path = _of("contours", mask, slide.slide), Path("contours", f"{stem}.jpg")
    yield Artifact(path, of, lambda to: to.write_bytes(_outlined(slide, mask)), store.contours(stem))


def _of_geometry(slide: SlideResults, geometry: GeometryResults, target: Target) -> Iterator[Artifact]:
    home, stem, coords = Path(geometry.folder), slide.stem, geometry.coords
    attributes = coords_attributes(slide, geometry, target.folder / home)

    def write(result: ExportResult, more: Mapping[str, Any], folder: Path):
        """Return what writes the file of one result with its coords."""
        about = {"name": stem, "savetodir": str(target.folder / folder), **more}
        return lambda to: write_h5(
            to,
            {"features": (result.read_features(), about), "coords": (geometry.read_coords(), attributes)},
            result.provenance(),
        )

    patches = home / "patches" / f"{stem}_patches.h5"
    source = geometry.file.get(schema.SUPPLIED_FROM)  # where these coords were taken from stays what it is
    yield Artifact(
        patches,
        _of("coords", coords),
        lambda to: write_h5(to, {"coords": (geometry.read_coords(), attributes)}, coords.provenance()),
        Path(str(source)) if source else None,
    )
    if slide.info is not None and _thumbnail(slide) is not None:
        path = home / "visualization" / f"{stem}.jpg"
        own = slide.store.visualization(stem, geometry.name).with_suffix(".jpg")
        yield Artifact(
            path, _of("grid", coords, str(GRID_DRAWING)), lambda to: to.write_bytes(_gridded(slide, geometry)), own
        )
    for result in geometry.features:
        name = trident_name(result.name)
        folder = home / f"features_{name}"
        more = {"encoder": name}
        yield Artifact(folder / f"{stem}.h5", _of("features", result, coords.fingerprint), write(result, more, folder))
        if target.options.pt:
            of = _of("pt", result)
            yield Artifact(
                folder / f"{stem}.pt", of, lambda to, result=result: write_tensor(to, result.read_features())
            )
    for result in geometry.embeddings:
        folder = home / f"slide_features_{trident_name(result.name)}"
        of = _of("slide_features", result, coords.fingerprint)
        yield Artifact(folder / f"{stem}.h5", of, write(result, {}, folder))


def coords_attributes(slide: SlideResults, geometry: GeometryResults, folder: Path) -> dict[str, Any]:
    """Return the attributes of ``coords``; sides in px, ``patch_size_level0`` and the slide's sides in level-0 px."""
    file = geometry.file
    magnification = round(bucket(round(float(file[schema.MPP]), 4)))
    size, size_level0 = int(file[schema.PATCH_SIZE]), int(file[schema.PATCH_SIZE_LEVEL0])
    return {
        "patch_size": size,
        "patch_size_level0": size_level0,
        "level0_magnification": magnification,
        "target_magnification": exact_magnification(
            size, size_level0, magnification, file[schema.TARGET_MAGNIFICATION]
        ),
        "overlap": int(file[schema.OVERLAP]),
        "name": slide.stem,
        "savetodir": str(folder),
        "level0_width": int(file[schema.LEVEL0_WIDTH]),
        "level0_height": int(file[schema.LEVEL0_HEIGHT]),
    }


def exact_magnification(patch_size: int, patch_size_level0: int, level0: int, nominal: float) -> float:
    """Return the target magnification from which a patch of ``patch_size_level0`` level-0 px follows.

    It is ``nominal`` where rounding ``patch_size * level0 / nominal`` gives that; else one from which rounding and
    truncating both do.
    """
    if round(patch_size * level0 / nominal) == patch_size_level0:
        return float(nominal)
    exact = patch_size * level0 / patch_size_level0
    while patch_size * level0 // exact < patch_size_level0:
        exact = math.nextafter(exact, 0)
    return exact


def trident_name(name: str) -> str:
    """Return TRIDENT's key for the same numbers, or a name that means nothing else to it."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    base = name.removeprefix(prefix)
    theirs = {ours: key for key, ours in KEYS.items()}
    return prefix + theirs.get(base, f"{OURS}{base}" if base in KEYS else base)


def geojson(slide: SlideResults, mask: ExportResult) -> bytes:
    """Return the outlines as a FeatureCollection with ``tissue_id`` from 0; level-0 px of the file, floats."""
    features = [
        {
            "type": "Feature",
            "properties": {"tissue_id": index},
            "geometry": {
                "type": "Polygon",
                "coordinates": [_ring(ring, slide.frame) for ring in rings_of(piece)],
            },
        }
        for index, piece in enumerate(slide.read_outlines(mask))
    ]
    head = {"type": "FeatureCollection", "name": slide.stem, "crs": ANY_CRS}
    ours = {"atlaspatch": {"fingerprint": mask.fingerprint}}
    return (json.dumps(head | ours | {"features": features}, ensure_ascii=False) + "\n").encode()


def _ring(ring: shapely.LinearRing, frame: OutlineFrame) -> list[list[float]]:
    return np.round(shapely.get_coordinates(ring) * frame[2:], DECIMALS).tolist()


def _thumbnail(slide: SlideResults) -> Path | None:
    """Return the thumbnail that was taken of this very slide."""
    path = slide.store.thumbnail(slide.stem)
    return path if slide.info and picture_state(path, provenance_mark(slide.slide)) is PictureState.CURRENT else None


def _picture(slide: SlideResults) -> preview.Picture:
    content = np.frombuffer(slide.store.thumbnail(slide.stem).read_bytes(), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)


def _outlined(slide: SlideResults, mask: ExportResult) -> bytes:
    assert slide.info is not None
    picture = preview.draw_contours(_picture(slide), slide.read_outlines(mask), slide.info)
    return with_mark(preview.encode_jpeg(picture), provenance_mark(slide.slide, mask.fingerprint))


def _gridded(slide: SlideResults, geometry: GeometryResults) -> bytes:
    assert slide.info is not None
    corners = geometry.read_coords().astype(np.int32)
    grid = PatchGrid(corners, geometry.read_tissue_fraction(), geometry.sampling())
    picture = draw_grid_picture(_picture(slide), grid, slide.info)
    return with_mark(preview.encode_jpeg(picture), grid_mark(geometry.coords.fingerprint))


def _of(what: str, result: ExportResult, *more: str) -> str:
    return digest("trident", VERSION, what, result.fingerprint, *more)


TRIDENT = ExportLayout(
    "trident",
    "TRIDENT's folders: patches, features and slide features per encoder, outlines, thumbnails, pictures",
    artifacts,
    options=frozenset({"pt"}),
    beside=True,
    cuts_patches=True,
)
