"""Slides in, outcomes out: what is reused, what is computed anew and why, and that one bad slide stops no other."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from painting import paint_slide, stain, white
from resealing import rewrite_record

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.storage.records import IDENTIFIED_BY
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, make_recipe

COORDS = OutputKey("patch_coords")
FEATURES = OutputKey("patch_features", "efficientnet_lite0")
EMBEDDING = OutputKey("slide_embedding", "mean-efficientnet_lite0")
ALL = [SLIDE, TISSUE_MASK, COORDS, FEATURES, EMBEDDING]


def project(folder: Path, **changes) -> Project:
    geometry = {"patch_size": 256, "target_mag": 20, "slide_encoders": ["mean-efficientnet_lite0"]}
    values = {
        "output": folder / "out",
        "geometry": [geometry | changes.pop("geometry", {})],
        "runtime": {"device": "cpu", "read_workers": 2},
    }
    return make_project(values | changes, origin="test")


def slide(folder: Path, stem: str = "a", *, x: int = 512, tissue: bool = True) -> SlideSource:
    pixels = white(2048, 1536)
    if tissue:
        stain(pixels, x, 256, 768, 768)
    return SlideSource(stem, paint_slide(folder / f"{stem}.svs", pixels, objective_power=20))


def run(sources: Iterable[SlideSource], made: Project, **options) -> list[Outcome]:
    return list(process(sources, make_recipe(made), **options))


def fates(outcomes: list[Outcome]) -> dict[str, str]:
    return {str(outcome.step): str(outcome.status) for outcome in outcomes}


def computed(outcomes: list[Outcome]) -> list[OutputKey]:
    return [outcome.step for outcome in outcomes if outcome.status is Status.COMPUTED]


def whys(outcomes: list[Outcome]) -> str:
    return " | ".join(outcome.why for outcome in outcomes)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def features(folder: Path, stem: str = "a") -> np.ndarray:
    with h5py.File(folder / "out" / "patches" / f"{stem}.h5") as file:
        return file["features/efficientnet_lite0"][()]


@pytest.fixture
def finished(tmp_path) -> tuple[SlideSource, Project]:
    source, made = slide(tmp_path), project(tmp_path)
    assert computed(run([source], made)) == ALL
    return source, made


def look_at_half_the_scale(values: dict[str, Any]) -> None:
    del values["slide"]["look"]
    values["slide"]["info"]["mpp"] = 0.25
    values["slide"]["identity"]["spec"]["mpp"] = 0.25


def test_a_slide_that_an_earlier_version_looked_at_is_looked_at_once_more(finished):
    """Its record may hold a scale that is known to be wrong now; where it is right, all is reused."""
    source, made = finished
    path = Store(made.output).record("a")
    rewrite_record(path, lambda values: values["slide"].pop("look"))
    assert computed(run([source], made)) == []
    assert json.loads(path.read_bytes())["slide"]["look"] == IDENTIFIED_BY
    rewrite_record(path, look_at_half_the_scale)
    assert computed(run([source], made))[0] == SLIDE


def test_the_file_holds_coords_features_and_embedding_row_by_row(finished, tmp_path):
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        coords, values = file["coords"][()], file["features/efficientnet_lite0"][()]
        assert coords.dtype == np.int32
        assert coords[:, :2].tolist() == [[x, y] for y in (256, 512, 768) for x in (512, 768, 1024)]
        assert coords[:, 2:].tolist() == [[256, 256, 0]] * 9
        assert values.shape == (9, 1280)
        embedding = file["slide_features/mean-efficientnet_lite0"]
        np.testing.assert_allclose(embedding[()], values.mean(axis=0), rtol=1e-5)
        assert embedding.attrs["source_patch_encoder"] == "efficientnet_lite0"
        assert file.attrs["num_patches"] == 9
        assert file.attrs["patch_size_level0"] == 256
        assert file.attrs["level0_magnification"] == 20
        assert file.attrs["target_magnification"] == 20
        assert file.attrs["mpp"] == 0.5
        assert file["passports"][0] == b"a__x512_y256_rw256_rh256_lv0_mag20_tmag20_total9"


def test_a_second_run_reuses_everything_and_changes_no_byte(finished, tmp_path):
    source, made = finished
    before = snapshot(tmp_path)
    assert set(fates(run([source], made)).values()) == {"reused"}
    assert snapshot(tmp_path) == before


def test_a_finished_slide_is_not_opened_again(finished, tmp_path):
    source, made = finished
    outcomes = run([source], made)
    assert computed(outcomes) == []
    stat = source.path.stat()
    source.path.write_bytes(bytes(stat.st_size))
    os.utime(source.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert set(fates(run([source], made)).values()) == {"reused"}


@pytest.mark.parametrize(
    ("change", "expected", "why"),
    [
        ({"geometry": {"step_size": 128}}, ALL[2:], "step_size none → 128"),
        ({"geometry": {"step_size": 192}}, ALL[2:], "upstream changed: patch_coords | upstream changed: patch_coords"),
        ({"geometry": {"min_tissue": 0.5}}, ALL[2:], "min_tissue 0.1 → 0.5"),
        ({"geometry": {"target_mag": 10}}, ALL[2:], "target_mpp 0.5 → 1"),
        ({"geometry": {"precision": "float32"}}, ALL[3:], "precision float16 → float32"),
        ({"tissue": {"closing_um": 4.0}}, [TISSUE_MASK], "closing_um 16.0 → 4.0"),
        ({"runtime": {"device": "cpu", "feature_batch_size": 3}}, [], ""),
        ({"runtime": {"device": "cpu", "feature_batch_size": "auto", "compile": "off"}}, [], ""),
    ],
)
def test_a_change_invalidates_exactly_what_depends_on_it(finished, tmp_path, change, expected, why):
    source, _ = finished
    outcomes = run([source], project(tmp_path, **change))
    assert computed(outcomes) == expected
    assert why in whys(outcomes)


def test_another_mpp_invalidates_all_of_the_slide_and_says_so(finished, tmp_path):
    source, made = finished
    restated = SlideSource("a", source.path, 0.25, "mpp csv")
    outcomes = run([restated], made)
    assert computed(outcomes) == ALL
    assert "stated mpp none → 0.25" in whys(outcomes)


def test_another_encoder_leaves_the_first_one_alone(finished, tmp_path):
    source, _ = finished
    before = features(tmp_path)
    encoders = ["mean-efficientnet_lite0", "mean-timm-test_vit"]
    made = project(tmp_path, geometry={"slide_encoders": encoders}, weights={"timm-test_vit": random_weights(tmp_path)})
    outcomes = run([source], made)
    assert computed(outcomes) == [
        OutputKey("patch_features", "timm-test_vit"),
        OutputKey("slide_embedding", "mean-timm-test_vit"),
    ]
    np.testing.assert_array_equal(features(tmp_path), before)


def random_weights(folder: Path) -> Path:
    import timm
    import torch

    torch.manual_seed(0)
    path = folder / "weights.pt"
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), path)
    return path


def test_an_edited_mask_is_kept_and_followed_until_its_file_is_deleted(finished, tmp_path):
    source, made = finished
    geojson = tmp_path / "out" / "contours_geojson" / "a.geojson"
    automatic = geojson.read_bytes()
    collection = json.loads(automatic)
    collection["features"][0]["geometry"]["coordinates"] = [[[0, 0], [512, 0], [512, 512], [0, 512], [0, 0]]]
    geojson.write_text(json.dumps(collection))
    outcomes = run([source], made)
    assert computed(outcomes) == ALL[2:]
    assert "edited by a person" in whys(outcomes)
    assert len(features(tmp_path)) == 4
    assert set(fates(run([source], made)).values()) == {"reused"}
    geojson.unlink()
    assert computed(run([source], made)) == ALL[1:]
    assert geojson.read_bytes() == automatic


def test_saving_the_same_polygons_in_other_words_changes_nothing(finished, tmp_path):
    source, made = finished
    geojson = tmp_path / "out" / "contours_geojson" / "a.geojson"
    collection = json.loads(geojson.read_bytes())
    collection["features"][0]["properties"]["note"] = "checked"
    geojson.write_text(json.dumps(collection, indent=4))
    assert set(fates(run([source], made)).values()) == {"reused"}


@pytest.mark.parametrize("edited", [lambda text: text.replace("512", "514"), lambda text: text[:-9]])
def test_force_overwrites_an_edited_mask_and_keeps_a_copy(finished, tmp_path, edited):
    source, made = finished
    geojson = tmp_path / "out" / "contours_geojson" / "a.geojson"
    automatic = geojson.read_bytes()
    geojson.write_text(edited(automatic.decode()))
    drawn = geojson.read_bytes()
    outcomes = run([source], made, force=True)
    assert computed(outcomes) == ALL
    assert geojson.read_bytes() == automatic
    [kept] = (geojson.parent / "replaced").iterdir()
    assert kept.read_bytes() == drawn
    (why,) = {outcome.why for outcome in outcomes if outcome.step == OutputKey("tissue_mask")}
    assert why == f"forced; the outlines that lay there are kept in contours_geojson/replaced/{kept.name}"
    run([source], made, force=True)
    assert [*(geojson.parent / "replaced").iterdir()] == [kept]


def test_forcing_one_encoder_keeps_the_results_of_another(finished, tmp_path):
    source, _ = finished
    weights = {"timm-test_vit": random_weights(tmp_path)}
    run([source], project(tmp_path, geometry={"patch_encoders": ["timm-test_vit"]}, weights=weights))
    only = project(tmp_path, geometry={"slide_encoders": [], "patch_encoders": ["timm-test_vit"]}, weights=weights)
    assert computed(run([source], only, force=True)) == [*ALL[:3], OutputKey("patch_features", "timm-test_vit")]
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        assert set(file["features"]) == {"efficientnet_lite0", "timm-test_vit"}
        assert set(file["slide_features"]) == {"mean-efficientnet_lite0"}


def test_changed_slide_content_invalidates_everything_even_under_an_edited_mask(finished, tmp_path):
    source, made = finished
    geojson = tmp_path / "out" / "contours_geojson" / "a.geojson"
    geojson.write_text(geojson.read_text().replace("512", "516"))
    run([source], made)
    slide(tmp_path, x=400)
    assert computed(run([source], made)) == [SLIDE, *ALL[2:]]


def test_features_computed_from_a_slide_do_not_depend_on_the_batch_size(finished, tmp_path):
    source, made = finished
    before = features(tmp_path)
    small = made.model_copy(update={"runtime": made.runtime.model_copy(update={"feature_batch_size": 2})})
    run([source], small, force=True)
    np.testing.assert_allclose(features(tmp_path), before, atol=1e-5)


def test_batches_cross_slide_borders_and_every_slide_gets_its_own_rows(tmp_path):
    sources = [slide(tmp_path, stem, x=x) for stem, x in (("a", 512), ("b", 700), ("c", 300))]
    together = project(tmp_path, runtime={"device": "cpu", "feature_batch_size": 16})
    run(sources, together)
    found = [features(tmp_path, stem) for stem in "abc"]
    alone = project(tmp_path, output=tmp_path / "alone")
    for source, values in zip(sources, found, strict=True):
        run([source], alone)
        with h5py.File(tmp_path / "alone" / "patches" / f"{source.stem}.h5") as file:
            np.testing.assert_allclose(file["features/efficientnet_lite0"][()], values, atol=1e-5)


def test_a_slide_that_breaks_while_it_is_read_fails_alone(tmp_path):
    broken = slide(tmp_path, "broken")
    made = project(tmp_path)
    run([broken], made, steps=ALL[:3])
    stat = broken.path.stat()
    content = broken.path.read_bytes()
    broken.path.write_bytes(content[:200_000])
    os.utime(broken.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    record = tmp_path / "out" / "slides" / "broken.json"
    rewrite_record(record, lambda values: values["slide"].update(signature=file_signature(broken.path)))
    outcomes = run([broken, slide(tmp_path, "b")], made)
    assert [outcome.step for outcome in outcomes if outcome.status is Status.FAILED] == [FEATURES]
    assert computed([outcome for outcome in outcomes if outcome.stem == "b"]) == ALL


def test_an_encoder_that_gives_nan_fails_the_slides_and_steps_it_concerns(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(NAN_WHERE_DARK)
    made = project(tmp_path, plugins=[plugin], geometry={"patch_encoders": ["nan_where_dark"], "slide_encoders": []})
    dark = SlideSource("dark", paint_slide(tmp_path / "dark.svs", stain(white(1024, 1024), 256, 256, 512, 512, DARK)))
    outcomes = run([slide(tmp_path, "a"), dark, slide(tmp_path, "c")], made)
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    assert [(outcome.stem, str(outcome.step)) for outcome in failed] == [("dark", "patch_features/nan_where_dark")]
    assert "NaN" in failed[0].why


def test_what_is_too_large_for_the_memory_is_one_sentence_and_may_be_tried_again(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(GREEDY)
    made = project(tmp_path, plugins=[plugin], geometry={"patch_encoders": ["greedy"], "slide_encoders": []})
    outcomes = run([slide(tmp_path)], made)
    failed = next(outcome for outcome in outcomes if outcome.status is Status.FAILED)
    assert failed.step.kind == "patch_features"
    assert failed.why.startswith("a: patch_features/greedy needs more memory than there is (Unable to allo")
    assert failed.why.endswith("; take smaller patches or batches")
    assert failed.transient


DARK = (150, 50, 130)
NAN_WHERE_DARK = """
from torch import nn
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.weights import BuiltIn


class Network(nn.Module):
    def forward(self, pixels):
        mean = pixels.float().mean(dim=(2, 3))
        mean[mean[:, 1] < 70] = float("nan")
        return mean


PATCH_ENCODERS = [
    PatchEncoder(
        name="nan_where_dark",
        architecture=Built(Network),
        source=BuiltIn(),
        dim=3,
        transform=None,
        license="MIT",
    )
]
"""
GREEDY = NAN_WHERE_DARK.replace("nan_where_dark", "greedy").replace(
    'mean[mean[:, 1] < 70] = float("nan")', "mean.max() > 0 and __import__('numpy').empty(10**15)"
)
"""It wants petabytes for patches that are not black, as those are by which it is asked for its dim."""


def test_one_unreadable_slide_is_failed_and_skipped_steps_and_the_next_goes_on(tmp_path):
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"no slide")
    outcomes = run([SlideSource("broken", broken), slide(tmp_path)], project(tmp_path))
    assert [str(outcome.status) for outcome in outcomes[:5]] == ["failed", *["skipped"] * 4]
    assert "broken" in outcomes[0].why
    assert computed(outcomes) == ALL


def test_a_slide_without_tissue_has_no_embedding_and_says_so(tmp_path):
    outcomes = run([slide(tmp_path, tissue=False)], project(tmp_path))
    assert fates(outcomes)["patch_features/efficientnet_lite0"] == "computed"
    assert outcomes[-1].status is Status.SKIPPED
    assert "no patches" in outcomes[-1].why
    assert features(tmp_path).shape == (0, 1280)


def test_a_step_asked_for_alone_fails_only_where_its_inputs_are_missing(tmp_path):
    """A step asked for alone fails where its inputs are missing and runs where they are valid."""
    source, made = slide(tmp_path), project(tmp_path)
    outcomes = run([source], made, steps=[FEATURES])
    assert [str(outcome.status) for outcome in outcomes] == ["failed"]
    assert "tissue_mask is not valid (missing)" in outcomes[0].why
    run([source], made, steps=[SLIDE, TISSUE_MASK, COORDS])
    assert computed(run([source], made, steps=[FEATURES])) == [FEATURES]
    assert computed(run([source], made, steps=[EMBEDDING])) == [EMBEDDING]


def test_several_geometries_lie_apart_and_share_the_mask(tmp_path):
    source = slide(tmp_path)
    base = project(tmp_path)
    second = base.geometry[0].model_copy(update={"name": "10x", "target_mag": 10, "slide_encoders": ()})
    made = base.model_copy(update={"geometry": (*base.geometry, second)})
    outcomes = run([source], made)
    assert fates(outcomes)["10x/patch_coords"] == "computed"
    assert (tmp_path / "out" / "10x" / "patches" / "a.h5").exists()
    assert sum(outcome.step == TISSUE_MASK for outcome in outcomes) == 1


def test_an_encoder_without_weights_fails_alone(tmp_path):
    made = project(
        tmp_path, geometry={"patch_encoders": ["timm-test_vit"]}, weights={"timm-test_vit": tmp_path / "no.pt"}
    )
    outcomes = run([slide(tmp_path)], made)
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    assert [outcome.step for outcome in failed] == [OutputKey("patch_features", "timm-test_vit")]
    assert "no.pt" in failed[0].why
    assert computed(outcomes) == ALL


def test_progress_is_told_patch_by_patch(tmp_path):
    told: list[tuple[str, int, int]] = []
    run([slide(tmp_path)], project(tmp_path), on_patches=lambda *progress: told.append(progress))
    assert told[-1] == ("a", 9, 9)


def test_pictures_for_the_ui_stay_under_8_kb(finished):
    source, made = finished
    pictures = [outcome.picture for outcome in run([source], made) if outcome.picture]
    assert len(pictures) == 2
    assert all(picture.stat().st_size <= 8000 for picture in pictures)


def test_every_result_says_what_it_was_made_of_by_what_and_when(finished, tmp_path):
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        for name in ("coords", "features/efficientnet_lite0", "slide_features/mean-efficientnet_lite0"):
            said = set(file[name].attrs)
            assert {"fingerprint", "recipe", "inputs", "atlaspatch_version", "created_at"} <= said
        assert {"name", "dim", "precision", "revision"} <= set(file["features/efficientnet_lite0"].attrs)
        assert file["slide_features/mean-efficientnet_lite0"].attrs["target_magnification"].dtype == np.int64


def test_features_say_how_their_pixels_were_read_and_another_way_makes_them_anew(tmp_path):
    pixels = stain(white(2048, 1536), 512, 512, 1024, 512)
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", pixels, mpp=0.0625, levels=(1,), compression="jpeg"))
    tissue = {"overview_mpp": 0.5, "closing_um": 1.0, "min_tissue_um2": 100.0, "min_hole_um2": 100.0}
    geometry = {"patch_size": 64, "downscale": "dct"}
    first = run([source], project(tmp_path, geometry=geometry, tissue=tissue))
    second = run([source], project(tmp_path, geometry={"patch_size": 64}, tissue=tissue))
    assert [outcome.facts["read_by"] for outcome in (first[3], second[3])] == ["tiles dct 1/8", "tiles"]
    assert computed(second) == ALL[3:]
    assert second[3].why == "downscale dct → none"
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        assert file["features/efficientnet_lite0"].attrs["read_by"] == "tiles"
