"""One AnnData file per slide and patch encoder: a patch is an observation, a feature a variable."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.interop.export.files import digest, facts, need_library
from atlaspatch_core.interop.export.thumbnails import read_thumbnail, scale_of, thumbnail_digest
from atlaspatch_core.interop.export.values import (
    Artifact,
    ExportLayout,
    ExportResult,
    GeometryResults,
    SlideResults,
    Target,
)
from atlaspatch_core.storage.disk import writing_hdf5
from atlaspatch_core.storage.schema import PATCH_SIZE_LEVEL0, TISSUE_FRACTION

if TYPE_CHECKING:
    from anndata import AnnData

VERSION = 2
LIBRARY = "spatial"
"""Key of ``uns`` under which squidpy and scanpy look for pictures, and of ``obsm`` for places."""


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:  # noqa: ARG001
    """Yield one file per patch encoder."""
    picture = thumbnail_digest(slide)
    for geometry in slide.geometries:
        for result in geometry.features:
            path = geometry.home / f"features_{result.name}" / f"{slide.stem}.h5ad"
            of = digest("anndata", VERSION, result.fingerprint, picture)
            yield Artifact(path, of, lambda to, geometry=geometry, result=result: write(to, slide, geometry, result))


def write(path: Path, slide: SlideResults, geometry: GeometryResults, result: ExportResult) -> None:
    """Write what ``to_anndata`` returns as ``.h5ad``."""
    data = to_anndata(slide, geometry, result)
    from anndata.io import write_elem

    with writing_hdf5(path) as file:
        write_elem(file, "/", data)


def to_anndata(slide: SlideResults, geometry: GeometryResults, result: ExportResult) -> "AnnData":
    """Return X (n, d) features; obs x, y (top-left corner, level-0 px) and tissue_fraction; obsm spatial (n, 2).

    ``spatial`` holds the centres of the patches, level-0 px. ``uns["atlaspatch"]`` says what the features are,
    ``uns["spatial"]`` has the slide's thumbnail as squidpy draws it. Raises MissingExtra without anndata.
    """
    anndata = need_library("anndata", "anndata")
    import pandas as pd

    features, coords = result.read_features(), geometry.read_coords()
    columns = {"x": coords[:, 0], "y": coords[:, 1], TISSUE_FRACTION: geometry.read_tissue_fraction()}
    names = [f"{slide.stem}_x{x}_y{y}" for x, y in coords.tolist()]
    obs = pd.DataFrame(columns, index=pd.Index(names, dtype=object))
    variables = [f"{result.name}_{number}" for number in range(features.shape[1])]
    data = anndata.AnnData(X=features, obs=obs, var=pd.DataFrame(index=pd.Index(variables, dtype=object)))
    data.obsm[LIBRARY] = coords + int(geometry.file[PATCH_SIZE_LEVEL0]) / 2
    data.uns["atlaspatch"] = facts(slide, geometry, result)
    if (pictures := _pictures(slide, geometry)) is not None:
        data.uns[LIBRARY] = {slide.stem: pictures}
    return data


def _pictures(slide: SlideResults, geometry: GeometryResults) -> dict[str, Any] | None:
    """Return the thumbnail and its scale as Visium has them: squidpy and scanpy draw patches on it as spots."""
    picture = read_thumbnail(slide)
    if picture is None:
        return None
    across, _ = scale_of(picture, slide)
    scales = {"tissue_hires_scalef": 1 / across, "spot_diameter_fullres": float(geometry.file[PATCH_SIZE_LEVEL0])}
    return {"images": {"hires": picture}, "scalefactors": scales}


ANNDATA = ExportLayout(
    "anndata",
    "one .h5ad per slide and patch encoder: X features, obs patches, obsm spatial, the thumbnail for squidpy",
    artifacts,
    needs=("anndata", "anndata"),
    kinds=frozenset({"patch_features"}),
)
