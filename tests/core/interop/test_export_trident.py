"""TRIDENT's folders, read back as its readers would: names, dtypes, attributes, and the very pixels."""

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from exporting import EMBEDDER, ENCODER, exported, make, paint, recipe_of
from hypothesis import given
from hypothesis import strategies as some
from rounds import examples

from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.patch.trident import TRIDENT
from atlaspatch_core.interop.export import Choice, ExportStatus
from atlaspatch_core.interop.export.trident import exact_magnification, trident_name
from atlaspatch_core.layouts.found import FolderLayout, Holds
from atlaspatch_core.layouts.recognise import recognise_folder
from atlaspatch_core.storage.store import Store

CDIR = "20x_256px_0px_overlap"


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """Slides of 4, 1 and 0 patches, exported."""
    folder = tmp_path_factory.mktemp("lab")
    made = recipe_of(folder)
    make(made, [paint(folder, "four"), paint(folder, "one", 1), paint(folder, "none", 0)])
    found = exported(made, "trident", folder / "job", pt=True)
    assert {stem: it.fate for stem, it in found.items()} == dict.fromkeys(("four", "none", "one"), ExportStatus.WRITTEN)
    return folder


def test_coords_have_every_attribute_with_its_type(lab):
    with h5py.File(lab / "job" / CDIR / "patches" / "four_patches.h5") as file:
        coords = file["coords"]
        assert (coords.dtype, coords.shape, coords.maxshape) == (np.int64, (4, 2), (None, 2))
        assert coords[:].tolist() == [[256, 256], [512, 256], [768, 256], [1024, 256]]
        assert dict(coords.attrs) == {
            "patch_size": 256,
            "patch_size_level0": 256,
            "level0_magnification": 20,
            "target_magnification": 20.0,
            "overlap": 0,
            "name": "four",
            "savetodir": str(lab / "job" / CDIR),
            "level0_width": 2048,
            "level0_height": 1024,
        }
        whole = ("patch_size", "patch_size_level0", "level0_magnification", "overlap", "level0_width", "level0_height")
        assert all(isinstance(coords.attrs[name], np.int64) for name in whole)
        assert isinstance(coords.attrs["target_magnification"], np.float64)


@pytest.mark.parametrize(("stem", "count"), [("one", 1), ("none", 0)])
def test_one_patch_and_no_patch_keep_two_columns(lab, stem, count):
    for path in (f"patches/{stem}_patches.h5", f"features_{ENCODER}/{stem}.h5"):
        with h5py.File(lab / "job" / CDIR / path) as file:
            assert file["coords"].shape == (count, 2)
    with h5py.File(lab / "job" / CDIR / f"features_{ENCODER}" / f"{stem}.h5") as file:
        assert file["features"].shape == (count, 1280)
    assert (lab / "job" / CDIR / f"slide_features_{EMBEDDER}" / f"{stem}.h5").exists() == bool(count)


def test_features_are_bit_equal_and_say_whose_they_are(lab):
    folder = lab / "job" / CDIR / f"features_{ENCODER}"
    with h5py.File(lab / "out" / "patches" / "four.h5") as ours, h5py.File(folder / "four.h5") as theirs:
        assert theirs["features"].dtype == np.float32
        assert theirs["features"][:].tobytes() == ours[f"features/{ENCODER}"][:].tobytes()
        about = {"name": "four", "encoder": ENCODER, "savetodir": str(folder)}
        assert dict(theirs["features"].attrs) == about
        assert theirs["coords"].attrs["patch_size_level0"] == 256
        assert theirs["features"].chunks == (4, 1280)
        assert theirs.attrs["atlaspatch_fingerprint"] == ours[f"features/{ENCODER}"].attrs["fingerprint"]
        assert theirs.attrs["atlaspatch_recipe"] == ours[f"features/{ENCODER}"].attrs["recipe"]


def test_slide_features_are_a_vector_with_coords(lab):
    with h5py.File(lab / "job" / CDIR / f"slide_features_{EMBEDDER}" / "one.h5") as file:
        assert (file["features"].shape, file["features"].dtype, file["coords"].shape) == ((1280,), np.float32, (1, 2))
        assert set(file["features"].attrs) == {"name", "savetodir"}


def test_tensors_load_without_running_code(lab):
    import torch

    tensor = torch.load(lab / "job" / CDIR / f"features_{ENCODER}" / "four.pt", weights_only=True)

    with h5py.File(lab / "out" / "patches" / "four.h5") as ours:
        assert np.array_equal(tensor.numpy(), ours[f"features/{ENCODER}"][:])


def test_outlines_are_numbered_polygons_of_level_0_px(lab):
    top = json.loads((lab / "job" / "contours_geojson" / "four.geojson").read_text())

    assert (top["name"], top["crs"]["properties"]["name"]) == ("four", "urn:ogc:def:crs:EPSG::3857")
    (feature,) = top["features"]
    assert feature["properties"] == {"tissue_id": 0}
    points = np.array(feature["geometry"]["coordinates"][0])
    assert points.min(axis=0).tolist() == pytest.approx([256, 256], abs=24)
    assert points.max(axis=0).tolist() == pytest.approx([1280, 512], abs=24)
    assert json.loads((lab / "job" / "contours_geojson" / "none.geojson").read_text())["features"] == []


def test_pictures_that_mark_a_slide_as_done_are_there(lab):
    for name in ("thumbnails/four.jpg", "contours/four.jpg", f"{CDIR}/visualization/four.jpg"):
        picture = cv2.imread(str(lab / "job" / name))
        assert picture is not None
        assert picture[:512].shape == (512, 1024, 3)
        assert (len(picture) > 512) == name.startswith(CDIR)


@pytest.mark.parametrize("mpp", [0.2501, 0.2527, 0.263, 0.4937, 0.5])
def test_the_pixels_by_magnifications_are_those_by_micrometres(tmp_path, mpp):
    made = recipe_of(tmp_path, geometry={"patch_size": 64, "slide_encoders": ()})
    make(made, [paint(tmp_path, "a", mpp=mpp)])
    exported(made, "trident", tmp_path / "job")

    with h5py.File(tmp_path / "job" / "20x_64px_0px_overlap" / "patches" / "a_patches.h5") as file:
        about = dict(file["coords"].attrs)
        side = round(about["patch_size"] * (about["level0_magnification"] / about["target_magnification"]))
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as ours:
        assert side == ours.attrs["patch_size_level0"] == about["patch_size_level0"]


@examples(100)
@given(some.integers(16, 1024), some.integers(8, 20_000), some.sampled_from([5, 10, 20, 40, 60, 80]))
def test_any_side_follows_from_the_magnification_by_rounding_and_by_truncating(patch_size, side, level0):
    exact = exact_magnification(patch_size, side, level0, nominal=1e9)

    assert round(patch_size * level0 / exact) == side
    assert round(patch_size * (level0 / exact)) == side
    assert patch_size * level0 // exact == side


def test_a_nominal_magnification_stays_where_it_gives_the_pixels():
    assert exact_magnification(224, 299, 40, 30) == 30
    assert exact_magnification(256, 507, 40, 20) != 20


def test_encoders_have_the_names_of_the_same_numbers():
    assert trident_name("virchow_v1") == "virchow"
    assert trident_name("mean-h_optimus_0") == "mean-hoptimus0"
    assert trident_name(ENCODER) == ENCODER
    assert trident_name("resnet50") == "atlaspatch-resnet50", "TRIDENT's resnet50 are other numbers"
    names = [trident_name(name) for name in PATCH_ENCODERS]
    assert len(set(names)) == len(names)
    assert set(TRIDENT) <= set(names)
    assert all(TRIDENT.get(trident_name(name), name) == name for name in PATCH_ENCODERS)


def test_two_geometries_of_one_folder_are_refused_with_the_cure(tmp_path):
    both = recipe_of(
        tmp_path, {"name": "many", "slide_encoders": ()}, {"name": "few", "min_tissue": 0.9, "slide_encoders": ()}
    )
    make(both, [paint(tmp_path, "a")])

    (refused,) = exported(both, "trident", tmp_path / "job").values()
    (written,) = exported(both, "trident", tmp_path / "job", choice=Choice(geometries=frozenset({"few"}))).values()

    assert refused.fate is ExportStatus.FAILED
    assert "'many' and 'few' would both lie in 20x_256px_0px_overlap" in refused.why
    assert written.fate is ExportStatus.WRITTEN


def test_the_project_s_own_folder_keeps_its_own_files(tmp_path):
    made = recipe_of(tmp_path)
    make(made, [paint(tmp_path, "a")])
    outlines = tmp_path / "out" / "contours_geojson" / "a.geojson"
    before = outlines.read_bytes(), outlines.stat().st_mtime_ns

    found = exported(made, "trident", tmp_path / "out", force=True)

    assert found["a"].fate is ExportStatus.WRITTEN
    assert (outlines.read_bytes(), outlines.stat().st_mtime_ns) == before
    assert (tmp_path / "out" / CDIR / "patches" / "a_patches.h5").exists()
    assert exported(made, "clam", tmp_path / "other")["a"].fate is ExportStatus.WRITTEN


def test_folders_beside_our_own_results_are_taken_for_no_slides(tmp_path):
    made = recipe_of(tmp_path, {"name": CDIR})
    make(made, [paint(tmp_path, "four"), paint(tmp_path, "five_patches")])
    exported(made, "trident", made.project.output)
    store = Store(made.project.output)
    assert store.h5("four_patches", CDIR).exists()
    assert set(store.results(CDIR)) == {"four", "five_patches"}
    assert {file.stem for file in recognise_folder(made.project.output).files()} == {"four", "five_patches"}


def test_clam_in_a_folder_for_each_geometry_is_recognised_with_its_features(tmp_path):
    made = recipe_of(tmp_path, {"name": CDIR})
    make(made, [paint(tmp_path, "four")])
    exported(made, "clam", tmp_path / "clam")
    found = recognise_folder(tmp_path / "clam")
    assert found.layout is FolderLayout.CLAM
    assert {(file.holds, file.encoder) for file in found.files()} == {(Holds.COORDS, ""), (Holds.FEATURES, ENCODER)}
