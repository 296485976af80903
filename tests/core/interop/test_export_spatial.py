"""SpatialData and AnnData: thumbnail, patches, tissue and features lie in the places that the slide has."""

from pathlib import Path

import numpy as np
import pytest
from cohorts import PATCHES, encode_cohort

import atlaspatch_core as ap


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    pytest.importorskip("spatialdata")
    return encode_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.mark.filterwarnings("ignore")
def test_spatialdata_is_read_back_with_everything_in_its_place(output, tmp_path):
    import spatialdata
    from spatialdata import transform

    cohort = ap.results(output)
    cohort.to_spatialdata("a").write(tmp_path / "a.zarr")
    data = spatialdata.read_zarr(tmp_path / "a.zarr")

    squares = transform(data["patches"], to_coordinate_system="global").geometry.bounds.to_numpy()
    assert np.array_equal(squares[:, :2], cohort.coords("a"))
    assert np.array_equal(squares[:, 2:] - squares[:, :2], np.full((PATCHES["a"], 2), 256))
    micrometres = transform(data["patches"], to_coordinate_system="um").geometry.bounds.to_numpy()
    assert micrometres == pytest.approx(squares * 0.5)
    assert transform(data["tissue"], to_coordinate_system="global").geometry.area.sum() == 4 * 256**2
    picture = transform(data["thumbnail"], to_coordinate_system="global")
    assert picture.shape[1:] == pytest.approx((1024, 2048), abs=2)
    for encoder in ("tiny", "other"):
        assert np.array_equal(data[encoder].X, cohort.features("a", encoder))


def test_a_spot_of_anndata_lies_on_its_tissue_in_the_thumbnail(output):
    data = ap.results(output).to_anndata("a", "tiny")

    library = data.uns["spatial"]["a"]
    picture, scales = library["images"]["hires"], library["scalefactors"]
    assert scales["spot_diameter_fullres"] == 256
    x, y = (data.obsm["spatial"] * scales["tissue_hires_scalef"]).astype(int).T
    assert (picture[y, x].min(axis=1) < 150).all()
    assert (picture[5, 5] > 240).all()
