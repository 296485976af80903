"""CLAM, torch, AnnData, Parquet and GeoJSON, read back by the libraries that will read them."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from exporting import EMBEDDER, ENCODER, exported, make, paint, recipe_of

from atlaspatch_core.errors import InvalidProject, UnwritableOutput
from atlaspatch_core.interop.export import ExportStatus
from atlaspatch_core.interop.export.geojson import principal, rank_classes
from atlaspatch_core.interop.scores import read_score_columns, scores_of_patches
from atlaspatch_core.validity.recipe import Recipe

STEMS = ("four", "none", "one")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> tuple[Path, Recipe]:
    """Slides of 4, 1 and 0 patches."""
    folder = tmp_path_factory.mktemp("lab")
    made = recipe_of(folder)
    make(made, [paint(folder, "four"), paint(folder, "one", 1), paint(folder, "none", 0)])
    return folder, made


def stored(folder: Path, stem: str, dataset: str) -> np.ndarray:
    with h5py.File(folder / "out" / "patches" / f"{stem}.h5") as file:
        return file[dataset][:]


def test_clam_reads_patches_from_the_level_they_were_cut_from(tmp_path):
    made = recipe_of(tmp_path, geometry={"patch_size": 64, "target_mag": 10})
    make(made, [paint(tmp_path, "a", mpp=0.25)])

    assert exported(made, "clam", tmp_path / "clam")["a"].fate is ExportStatus.WRITTEN

    with h5py.File(tmp_path / "clam" / "patches" / "a.h5") as file:
        coords, about = file["coords"][:], dict(file["coords"].attrs)
    assert (coords.dtype, coords.shape[1]) == (np.int64, 2)
    assert (about["patch_size"], about["patch_level"], about["custom_downsample"]) == (64, 1, 1)
    assert np.array_equal(coords, stored(tmp_path, "a", "coords")[:, :2])


def test_clam_has_features_as_tensors_and_lists_the_slides(lab, tmp_path):
    import torch

    _, made = lab
    theirs = tmp_path / "process_list_autogen.csv"
    theirs.write_text("slide_id,process,status,seg_level\nfour.svs,1,tbp,6\nelse.svs,0,processed,6\n")

    exported(made, "clam", tmp_path)

    for stem, count in (("four", 4), ("one", 1), ("none", 0)):
        tensor = torch.load(tmp_path / f"features_{ENCODER}" / "pt_files" / f"{stem}.pt", weights_only=True)
        assert (tensor.shape, tensor.dtype) == ((count, 1280), torch.float32)
        with h5py.File(tmp_path / f"features_{ENCODER}" / "h5_files" / f"{stem}.h5") as file:
            assert np.array_equal(file["features"][:], tensor.numpy())
            assert file["coords"].shape == (count, 2)
    with theirs.open() as file:
        rows = {row["slide_id"]: row for row in csv.DictReader(file)}
    assert rows["else.svs"] == {"slide_id": "else.svs", "process": "0", "status": "processed", "seg_level": "6"}
    assert rows["four.svs"] == {"slide_id": "four.svs", "process": "0", "status": "processed", "seg_level": "6"}
    assert rows.keys() == {"else.svs", *(f"{stem}.svs" for stem in STEMS)}


def test_torch_files_hold_tensors_and_say_what_they_are(lab, tmp_path):
    import torch

    folder, made = lab
    found = exported(made, "pt", tmp_path)

    patches = torch.load(tmp_path / f"features_{ENCODER}" / "four.pt", weights_only=True)
    whole = torch.load(tmp_path / f"slide_features_{EMBEDDER}" / "four.pt", weights_only=True)
    assert np.array_equal(patches["features"].numpy(), stored(folder, "four", f"features/{ENCODER}"))
    assert np.array_equal(patches["coords"].numpy(), stored(folder, "four", "coords")[:, :2])
    assert np.array_equal(patches["tissue_fraction"].numpy(), stored(folder, "four", "tissue_fraction"))
    assert np.array_equal(whole["features"].numpy(), stored(folder, "four", f"slide_features/{EMBEDDER}"))
    assert (patches["encoder"], patches["mpp"], patches["patch_size_level0"]) == (ENCODER, 0.5, 256)
    assert json.loads(patches["atlaspatch_recipe"])["step"] == "patch_features"
    assert [len(found[stem].written) for stem in STEMS] == [2, 1, 2], "a slide without patches has no embedding"


def test_anndata_reads_features_places_and_scale(lab, tmp_path):
    import anndata

    folder, made = lab
    exported(made, "anndata", tmp_path)

    data = anndata.read_h5ad(tmp_path / f"features_{ENCODER}" / "four.h5ad")
    assert np.array_equal(np.asarray(data.X), stored(folder, "four", f"features/{ENCODER}"))
    assert np.array_equal(data.obs[["x", "y"]].to_numpy(), stored(folder, "four", "coords")[:, :2])
    assert np.array_equal(data.obs["tissue_fraction"].to_numpy(), stored(folder, "four", "tissue_fraction"))
    assert np.array_equal(data.obsm["spatial"], stored(folder, "four", "coords")[:, :2] + 128)
    assert data.obs_names[0] == "four_x256_y256"
    assert (data.uns["atlaspatch"]["mpp"], data.uns["atlaspatch"]["encoder"]) == (0.5, ENCODER)
    assert len(str(data.uns["atlaspatch"]["atlaspatch_fingerprint"])) == 16
    assert anndata.read_h5ad(tmp_path / f"features_{ENCODER}" / "none.h5ad").shape == (0, 1280)


def test_pandas_reads_the_table_of_embeddings(lab, tmp_path):
    import pandas as pd

    folder, made = lab
    found = exported(made, "parquet", tmp_path)

    table = pd.read_parquet(tmp_path / "slide_embeddings.parquet").set_index("stem")
    assert list(table.index) == ["four", "one"]
    for stem in table.index:
        row = table.loc[stem]
        assert np.array_equal(row["embedding"], stored(folder, stem, f"slide_features/{EMBEDDER}"))
        assert (row["encoder"], row["patch_encoder"], row["dim"], row["mpp"]) == (EMBEDDER, ENCODER, 1280, 0.5)
        with h5py.File(folder / "out" / "patches" / f"{stem}.h5") as file:
            assert row["fingerprint"] == file[f"slide_features/{EMBEDDER}"].attrs["fingerprint"]
            assert row["patches"] == len(file["coords"])
    # without patches there is no embedding to lack
    assert (found["none"].fate, found["none"].why) == (ExportStatus.UNCHANGED, "")
    assert exported(made, "parquet", tmp_path)["four"].fate is ExportStatus.UNCHANGED


def test_rows_of_other_slides_stay_in_the_table_and_a_foreign_table_is_kept(lab, tmp_path):
    import pandas as pd

    _, made = lab
    path = tmp_path / "slide_embeddings.parquet"

    exported(made, "parquet", tmp_path, stems=["one"])
    assert exported(made, "parquet", tmp_path, stems=["four"], dry_run=True)["four"].fate is ExportStatus.PLANNED
    assert list(pd.read_parquet(path)["stem"]) == ["one"]
    exported(made, "parquet", tmp_path, stems=["four"])
    assert list(pd.read_parquet(path)["stem"]) == ["four", "one"]

    pd.DataFrame({"mine": [1]}).to_parquet(path)
    with pytest.raises(UnwritableOutput, match="was not written by this export"):
        exported(made, "parquet", tmp_path)
    assert list(pd.read_parquet(path)["mine"]) == [1]
    exported(made, "parquet", tmp_path, force=True)
    assert list(pd.read_parquet(path)["stem"]) == ["four", "one"]


def features_of(path: Path) -> list[dict]:
    return json.loads(path.read_text())["features"]


def test_tiles_lie_where_patches_do_and_carry_their_share_of_tissue(lab, tmp_path):
    folder, made = lab
    exported(made, "geojson", tmp_path)

    tiles = features_of(tmp_path / "tissue_fraction" / "four.geojson")
    assert [tile["geometry"]["coordinates"][0][0] for tile in tiles] == [
        [256, 256],
        [512, 256],
        [768, 256],
        [1024, 256],
    ]
    assert tiles[0]["geometry"]["coordinates"][0][2] == [512, 512]
    assert {tile["properties"]["objectType"] for tile in tiles} == {"tile"}
    shares = [tile["properties"]["measurements"]["tissue_fraction"] for tile in tiles]
    assert np.array_equal(np.float32(shares), stored(folder, "four", "tissue_fraction"))
    assert all(len(tile["properties"]["classification"]["color"]) == 3 for tile in tiles)
    assert features_of(tmp_path / "tissue_fraction" / "none.geojson") == []


@pytest.mark.parametrize("column", ["7", "norm", "pc1", "pc3"])
def test_tiles_carry_the_column_of_choice(lab, tmp_path, column):
    folder, made = lab
    exported(made, "geojson", tmp_path, column=column)

    tiles = features_of(tmp_path / f"features_{ENCODER}_{column}" / "four.geojson")
    values = [list(tile["properties"]["measurements"].values())[1] for tile in tiles]
    features = stored(folder, "four", f"features/{ENCODER}").astype(float)
    centred = features - features.mean(axis=0)
    singular = np.linalg.svd(centred, full_matrices=False)
    expected = {
        "7": features[:, 7],
        "norm": np.linalg.norm(features, axis=1),
        "pc1": singular.U[:, 0] * singular.S[0],
        "pc3": singular.U[:, 2] * singular.S[2],
    }[column]
    sign = np.sign(np.dot(values, expected)) if column.startswith("pc") else 1
    assert values == pytest.approx(sign * expected, abs=1e-5)


def test_a_column_that_cannot_be_is_refused_before_any_work(lab, tmp_path):
    _, made = lab
    with pytest.raises(InvalidProject, match=r"column 'pc9': give tissue_fraction, norm, pc1, pc2, pc3 or the number"):
        exported(made, "geojson", tmp_path, column="pc9")
    assert "column 5000 of 1280 features" in exported(made, "geojson", tmp_path, column="5000")["four"].why


def test_principal_components_are_the_same_whatever_the_order_of_patches():
    features = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9)

    assert principal(features[::-1], 1)[::-1] == pytest.approx(principal(features, 1))
    assert principal(np.ones((1, 8)), 0).tolist() == [0]
    assert principal(np.empty((0, 8)), 0).tolist() == []


def test_classes_have_equal_numbers_of_patches_and_equal_values_the_same():
    assert np.bincount(rank_classes(np.arange(800.0))).tolist() == [100] * 8
    assert set(rank_classes(np.zeros(5)).tolist()) == {0}


def test_several_geometries_lie_in_folders_of_their_names(tmp_path):
    made = recipe_of(tmp_path, {"name": "near"}, {"name": "far", "target_mag": 10, "slide_encoders": ()})
    make(made, [paint(tmp_path, "a")])

    found = exported(made, "clam", tmp_path / "clam")

    files = sorted(str(path.relative_to(tmp_path / "clam")) for path in found["a"].written)
    assert files == [
        "far/patches/a.h5",
        f"near/features_{ENCODER}/h5_files/a.h5",
        f"near/features_{ENCODER}/pt_files/a.pt",
        "near/patches/a.h5",
    ]


def test_a_table_of_patches_has_a_row_for_each_and_comes_back_as_scores(lab, tmp_path):
    import pandas as pd

    folder, made = lab
    assert exported(made, "patches", tmp_path)["four"].fate is ExportStatus.WRITTEN
    table = pd.read_parquet(tmp_path / f"patches_{ENCODER}" / "four.parquet")
    np.testing.assert_array_equal(table[["x", "y"]], stored(folder, "four", "coords")[:, :2])
    np.testing.assert_array_equal(np.stack(table.features), stored(folder, "four", f"features/{ENCODER}"))
    np.testing.assert_array_equal(table.tissue_fraction, stored(folder, "four", "tissue_fraction"))
    assert (set(table.stem), table.row.tolist()) == ({"four"}, [0, 1, 2, 3])
    assert len(pd.read_parquet(tmp_path / f"patches_{ENCODER}" / "none.parquet")) == 0
    every = pd.read_parquet(tmp_path / f"patches_{ENCODER}")
    assert sorted(every.groupby("stem").size().items()) == [("four", 4), ("one", 1)]
    assert exported(made, "patches", tmp_path)["four"].fate is ExportStatus.UNCHANGED
    table["score"] = [0.5, 1, 2, 3]
    table[::-1].to_parquet(tmp_path / "scores.parquet")
    columns = read_score_columns(tmp_path / "scores.parquet")
    coords = np.asarray(stored(folder, "four", "coords")[:, :2], np.int64)
    assert scores_of_patches(columns, "four", coords, "score", "scores.parquet").values.tolist() == [0.5, 1, 2, 3]
