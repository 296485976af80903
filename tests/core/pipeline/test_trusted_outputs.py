"""Outputs that are taken as they lie, whatever the recipe says of how they are made."""

from pathlib import Path

import h5py
import pytest
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, make_recipe

COORDS, FEATURES = OutputKey("patch_coords"), OutputKey("patch_features", "efficientnet_lite0")


@pytest.fixture
def source(tmp_path) -> SlideSource:
    pixels = stain(white(1024, 1024), 0, 0, 600, 600)
    return SlideSource("a", paint_slide(tmp_path / "a.svs", pixels, objective_power=20))


def run(
    source: SlideSource, *trusted: OutputKey, tissue=None, force: bool = False, **geometry
) -> dict[OutputKey, Outcome]:
    values = {"patch_size": 256, "target_mag": 20, "patch_encoders": ("efficientnet_lite0",)} | geometry
    output = source.path.parent / "out"
    project = make_project({"output": output, "geometry": (values,), "tissue": tissue or {}}, origin="test")
    found = process([source], make_recipe(project), trusted=trusted, force=force)
    return {outcome.step: outcome for outcome in found}


def test_a_trusted_mask_stays_though_another_segmenter_is_named(source):
    first = run(source)
    later = run(source, TISSUE_MASK, tissue={"segmenter": "otsu_tiled"})
    assert later[TISSUE_MASK].status is Status.REUSED
    assert later[TISSUE_MASK].facts["made_by"] == "otsu"
    assert later[TISSUE_MASK].fingerprint == first[TISSUE_MASK].fingerprint
    assert later[FEATURES].status is Status.REUSED
    assert run(source, tissue={"segmenter": "otsu_tiled"})[TISSUE_MASK].status is Status.COMPUTED


def test_trusted_coords_stay_with_the_scale_that_they_were_laid_with(source):
    first = run(source, min_tissue=0.9, scale="nominal", step_size=128)
    later = run(source, TISSUE_MASK, COORDS, min_tissue=0.0)
    assert later[COORDS].status is Status.REUSED
    assert later[COORDS].numbers["patches"] == first[COORDS].numbers["patches"]
    assert later[FEATURES].status is Status.REUSED


def test_force_computes_anew_what_is_asked_for_and_not_what_is_trusted(source):
    run(source)
    later = run(source, SLIDE, TISSUE_MASK, COORDS, force=True)
    assert [later[step].status for step in (TISSUE_MASK, COORDS)] == [Status.REUSED] * 2
    assert (later[FEATURES].status, later[FEATURES].why) == (Status.COMPUTED, "forced")


def test_what_is_trusted_and_not_there_is_made_by_the_recipe(source):
    assert run(source, TISSUE_MASK, COORDS)[COORDS].status is Status.COMPUTED


def test_trusted_coords_of_a_mask_that_changed_since_fail_with_the_cure(source):
    run(source)
    geojson = Store(source.path.parent / "out").geojson("a")
    square = "[[[0,0],[300,0],[300,300],[0,300],[0,0]]]"
    geojson.write_text(f'{{"type": "FeatureCollection", "features": [{{"type": "Feature", "properties": {{}}, "geometry": {{"type": "Polygon", "coordinates": {square}}}}}]}}')  # fmt: skip # noqa: E501
    later = run(source, TISSUE_MASK, COORDS)
    assert later[COORDS].status is Status.FAILED
    assert later[COORDS].why == "a: tissue_mask changed after patch_coords was made; run the step patch_coords again"
    assert run(source, TISSUE_MASK)[COORDS].status is Status.COMPUTED


def test_trusted_coords_of_another_patch_size_fail_with_the_cure(source):
    run(source)
    later = run(source, TISSUE_MASK, COORDS, patch_size=128)
    assert later[COORDS].why == (
        "a: its patches are 256 px wide and 128 px are asked for; give the patch size 256, or lay them anew"
    )


def test_a_trusted_mask_of_a_slide_that_was_replaced_fails_with_the_cure(source):
    run(source)
    paint_slide(Path(source.path), stain(white(1024, 1024), 0, 0, 700, 300), objective_power=20)
    later = run(source, TISSUE_MASK)
    assert later[TISSUE_MASK].why == "a: slide changed after tissue_mask was made; run the step tissue_mask again"


def test_features_of_trusted_coords_are_those_that_a_plain_run_computes(source):
    run(source)
    path = Store(source.path.parent / "out").h5("a")
    with h5py.File(path) as file:
        plain = file["features/efficientnet_lite0"][()]
    run(source, TISSUE_MASK, COORDS, force=True)
    with h5py.File(path) as file:
        assert (file["features/efficientnet_lite0"][()] == plain).all()
