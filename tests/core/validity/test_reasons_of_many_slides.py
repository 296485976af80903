"""However many slides are stale, each is told the reason for which a run makes it anew."""

import json
from pathlib import Path

import pytest
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.operations.tracking.project_status import project_status
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe, make_recipe
from atlaspatch_core.validity.states import MOST_READ, validities
from atlaspatch_core.validity.stored import stored_in_files

NETWORK = "timm-test_efficientnet"
Reasons = dict[tuple[str, OutputKey], str]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    import timm
    import torch

    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), path)
    return path


def recipe_of(folder: Path, weights: Path | None = None, **geometry) -> Recipe:
    encoders = {"slide_encoders": [f"mean-{NETWORK}"], "precision": "float32"} if weights else {}
    values = {
        "output": folder / "out",
        "slides": {"folders": [folder / "slides"]},
        "geometry": [{"patch_size": 128, "target_mag": 20} | encoders | geometry],
        "weights": {NETWORK: weights} if weights else {},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_recipe(make_project(values, origin="test"))


def paint(folder: Path, count: int) -> None:
    (folder / "slides").mkdir()
    for number in range(count):
        pixels = stain(white(512, 512), 64, 64, 256 + 4 * number, 320)
        paint_slide(folder / "slides" / f"{number}.svs", pixels, levels=(1,))


def run(recipe: Recipe) -> Reasons:
    """Return why outputs were made, of those that were."""
    outcomes = process(find_slides(recipe.project).sources, recipe)
    made = {(it.stem, it.step): it.why for it in outcomes if it.why and it.why != "edited by a person"}
    assert set(made.values()) != set()
    return made


def draw(recipe: Recipe, stem: str, right: int) -> None:
    ring = [[64, 64], [right, 64], [right, 448], [64, 448], [64, 64]]
    Store(recipe.project.output).geojson(stem).write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))


def test_two_changes_at_once_are_told_of_every_slide_from_one_file_a_step(tmp_path: Path, weights: Path):
    paint(tmp_path, 4)
    run(recipe_of(tmp_path, weights))
    changed = recipe_of(tmp_path, weights, step_size=64, precision="bfloat16")
    found = validities(changed, map(str, range(4)), stored_in_files(changed), most_read=1)
    told = {(it.stem, it.step): it.why for it in found if it.why}
    assert told == run(changed)
    assert len(set(told.values())) == 3


def test_slides_are_told_apart_by_what_changed_of_each(tmp_path: Path):
    """One of them has another scale besides; what is told of it is not told of the others."""
    paint(tmp_path, 3)
    run(recipe_of(tmp_path))
    (tmp_path / "mpp.csv").write_text("wsi,mpp\n0.svs,0.25\n")
    changed = recipe_of(tmp_path, min_tissue=0.5)
    slides = changed.project.slides.model_copy(update={"mpp_csv": tmp_path / "mpp.csv"})
    changed = make_recipe(changed.project.model_copy(update={"slides": slides}))
    seen = project_status(changed, find_slides(changed.project))
    told = {(it.stem, it.step): it.why for it in seen.outputs if it.why}
    assert told == run(changed)


@pytest.mark.e2e
def test_masks_that_were_drawn_again_are_told_of_more_slides_than_files_are_read(tmp_path: Path):
    count = MOST_READ + 2
    paint(tmp_path, count)
    recipe = recipe_of(tmp_path)
    for width in (256, 320):
        run(recipe)
        for number in range(count):
            draw(recipe, str(number), width + number)
    told = {(it.stem, it.step): it.why for it in project_status(recipe, find_slides(recipe.project)).outputs if it.why}
    assert told == run(recipe)
    assert set(told.values()) == {"upstream changed: tissue_mask"}
