"""One AnnData file per slide and patch encoder: a patch is an observation, a feature a variable."""

from collections.abc import Iterator
from pathlib import Path

from atlaspatch_core.interop.export.files import digest, facts
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

VERSION = 1


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:  # noqa: ARG001
    """Yield one file per patch encoder."""
    for geometry in slide.geometries:
        for result in geometry.features:
            path = geometry.home / f"features_{result.name}" / f"{slide.stem}.h5ad"
            of = digest("anndata", VERSION, result.fingerprint)
            yield Artifact(path, of, lambda to, geometry=geometry, result=result: write(to, slide, geometry, result))


def write(path: Path, slide: SlideResults, geometry: GeometryResults, result: ExportResult) -> None:
    """Write X (n, d) features; obs x, y (top-left corner, level-0 px) and tissue_fraction; obsm spatial (n, 2).

    ``spatial`` holds the centres of the patches, level-0 px. ``uns["atlaspatch"]`` says what the features are.
    """
    import anndata
    import pandas as pd
    from anndata.io import write_elem

    features, coords = result.read_features(), geometry.read_coords()
    columns = {"x": coords[:, 0], "y": coords[:, 1], TISSUE_FRACTION: geometry.read_tissue_fraction()}
    names = [f"{slide.stem}_x{x}_y{y}" for x, y in coords.tolist()]
    obs = pd.DataFrame(columns, index=pd.Index(names, dtype=object))
    variables = [f"{result.name}_{number}" for number in range(features.shape[1])]
    var = pd.DataFrame(index=pd.Index(variables, dtype=object))
    data = anndata.AnnData(X=features, obs=obs, var=var)
    data.obsm["spatial"] = coords + int(geometry.file[PATCH_SIZE_LEVEL0]) / 2
    data.uns["atlaspatch"] = facts(slide, geometry, result)
    with writing_hdf5(path) as file:
        write_elem(file, "/", data)


ANNDATA = ExportLayout(
    "anndata",
    "one .h5ad per slide and patch encoder: X features, obs patches, obsm spatial",
    artifacts,
    needs=("anndata", "anndata"),
    kinds=frozenset({"patch_features"}),
)
