"""One SpatialData store per slide: thumbnail, tissue and patches in their places, and features."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from atlaspatch_core.interop.export.anndata import LIBRARY, to_anndata
from atlaspatch_core.interop.export.files import digest, need_library
from atlaspatch_core.interop.export.thumbnails import read_thumbnail, scale_of, thumbnail_digest
from atlaspatch_core.interop.export.values import (
    Artifact,
    ExportLayout,
    ExportResult,
    GeometryResults,
    SlideResults,
    Target,
)
from atlaspatch_core.storage.schema import MPP, PATCH_SIZE_LEVEL0

if TYPE_CHECKING:
    from anndata import AnnData
    from spatialdata import SpatialData

VERSION = 1
THUMBNAIL, TISSUE, PATCHES = "thumbnail", "tissue", "patches"
"""Names of the elements; a table of features is called as its encoder."""
LEVEL0, MICROMETRES = "global", "um"
"""Coordinate systems: level-0 px, and µm from the slide's corner."""


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:  # noqa: ARG001
    """Yield one store per geometry, with the features of all patch encoders."""
    mask = slide.mask.fingerprint if slide.mask else ""
    for geometry in slide.geometries:
        parts = [geometry.coords.fingerprint, *(result.fingerprint for result in geometry.features)]
        of = digest("spatialdata", VERSION, thumbnail_digest(slide), mask, *parts)
        path = geometry.home / f"{slide.stem}.zarr"
        yield Artifact(path, of, lambda to, geometry=geometry: write(to, slide, geometry), is_folder=True)


def write(path: Path, slide: SlideResults, geometry: GeometryResults) -> None:
    """Write what ``to_spatialdata`` returns as a Zarr store."""
    data = to_spatialdata(slide, geometry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of zarr, on what its next version does by default
        data.write(path)


def to_spatialdata(slide: SlideResults, geometry: GeometryResults) -> "SpatialData":
    """Return a slide with one geometry; elements that the slide has nothing of are left out.

    Images: ``thumbnail``. Shapes: ``tissue`` polygons, ``patches`` squares. Tables: features by patch encoder, a row a
    patch, which annotate ``patches``. Each lies in ``global`` (level-0 px), and in ``um`` where the scale is known.
    Raises MissingExtra without spatialdata.
    """
    library = need_library("spatialdata", "spatialdata")
    mpp = slide.info.mpp if slide.info else geometry.file.get(MPP)
    pixels, outlines = read_thumbnail(slide), slide.read_outlines(slide.mask) if slide.mask else ()
    squares, shapes = _squares(geometry), {}
    if outlines:
        shapes[TISSUE] = _shapes(outlines, mpp)
    if len(squares):
        shapes[PATCHES] = _shapes(squares, mpp)
    images = {} if pixels is None else {THUMBNAIL: _image(pixels, scale_of(pixels, slide), mpp)}
    tables = {result.name: _table(slide, geometry, result) for result in geometry.features if len(squares)}
    about = {"stem": slide.stem, "geometry": geometry.name}
    return library.SpatialData(images=images, shapes=shapes, tables=tables, attrs={"atlaspatch": about})


def _squares(geometry: GeometryResults) -> Sequence[Any]:
    coords, side = geometry.read_coords(), int(geometry.file[PATCH_SIZE_LEVEL0])
    return shapely.box(*coords.T, *(coords + side).T).tolist() if len(coords) else []


def _places(scale: tuple[float, float], mpp: float | None) -> dict[str, Any]:
    """Return how an element lies in each coordinate system; ``scale``: level-0 px per px of it, along x and y."""
    from spatialdata.transformations import Scale

    axes = ("x", "y")
    micrometres = {} if mpp is None else {MICROMETRES: Scale([side * mpp for side in scale], axes=axes)}
    return {LEVEL0: Scale(list(scale), axes=axes)} | micrometres


def _shapes(polygons: Sequence[Any], mpp: float | None) -> Any:
    import geopandas
    from spatialdata.models import ShapesModel

    return ShapesModel.parse(geopandas.GeoDataFrame(geometry=list(polygons)), transformations=_places((1.0, 1.0), mpp))


def _image(pixels: Any, scale: tuple[float, float], mpp: float | None) -> Any:
    from spatialdata.models import Image2DModel

    dims, channels = ("c", "y", "x"), ["r", "g", "b"]
    places = _places(scale, mpp)
    return Image2DModel.parse(pixels.transpose(2, 0, 1), dims=dims, c_coords=channels, transformations=places)


def _table(slide: SlideResults, geometry: GeometryResults, result: ExportResult) -> "AnnData":
    import pandas as pd
    from spatialdata.models import TableModel

    data = to_anndata(slide, geometry, result)
    data.uns.pop(LIBRARY, None)
    data.obs["region"] = pd.Categorical([PATCHES] * data.n_obs)
    data.obs["instance_id"] = range(data.n_obs)
    return TableModel.parse(data, region=PATCHES, region_key="region", instance_key="instance_id")


SPATIALDATA = ExportLayout(
    "spatialdata",
    "one .zarr per slide: thumbnail, tissue and patches as shapes, a table of features per patch encoder",
    artifacts,
    needs=("spatialdata", "spatialdata"),
    kinds=frozenset({"tissue_mask", "patch_features"}),
)
