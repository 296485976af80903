"""What is fresh, stale, missing or failed, and why: told from records, outlines and fingerprints alone."""

import os
from pathlib import Path

import pytest
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.slide_index import read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity import states as validity
from atlaspatch_core.validity.expected import Expectations
from atlaspatch_core.validity.outcome import Outcome, OutputKey
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, make_recipe
from atlaspatch_core.validity.stale_reasons import NOT_RECORDED
from atlaspatch_core.validity.states import State, validities
from atlaspatch_core.validity.stored import Stored, stored_in_files

NETWORK = "timm-test_efficientnet"
COORDS, FEATURES = OutputKey("patch_coords"), OutputKey("patch_features", NETWORK)
EMBEDDING = OutputKey("slide_embedding", f"mean-{NETWORK}")
ALL = [SLIDE, TISSUE_MASK, COORDS, FEATURES, EMBEDDING]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights") / "tiny.pt", seed=0)


def random_weights(path: Path, seed: int) -> Path:
    import timm
    import torch

    torch.manual_seed(seed)
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), path)
    return path


def project(folder: Path, weights: Path, **changes) -> Project:
    geometry = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": [f"mean-{NETWORK}"]}
    values = {
        "output": folder / "out",
        "geometry": [geometry | changes.pop("geometry", {})],
        "weights": {NETWORK: weights},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_project(values | changes, origin="test")


def paint(folder: Path, stem: str, *, x: int = 256, tissue: bool = True) -> SlideSource:
    pixels = white(1024, 1024)
    if tissue:
        stain(pixels, x, 256, 512, 512)
    return SlideSource(stem, paint_slide(folder / f"{stem}.svs", pixels))


def run(made: Project, *sources: SlideSource) -> list[Outcome]:
    return list(process(sources, make_recipe(made)))


def states(
    made: Project, *stems: str, stored: Stored | None = None, **options
) -> dict[OutputKey, list[tuple[State, str]]]:
    recipe = make_recipe(made)
    found: dict[OutputKey, list[tuple[State, str]]] = {}
    for it in validities(recipe, stems or ["a"], stored or stored_in_files(recipe), **options):
        found.setdefault(it.step, []).append((it.state, it.why))
    return found


def first(made: Project, **options) -> dict[OutputKey, tuple[State, str]]:
    return {step: found[0] for step, found in states(made, "a", **options).items()}


FRESH = (State.FRESH, "")


def test_the_expected_identities_are_those_that_the_steps_gave(tmp_path, weights):
    made = project(tmp_path, weights)
    sources = [paint(tmp_path, "a"), SlideSource("b", paint(tmp_path, "b").path, 0.37), paint(tmp_path, "c", x=300)]
    outcomes = run(made, *sources)
    store = Store(made.output)
    known, expectations = read_slide_index(store), Expectations(make_recipe(made), store)

    for stem in ("a", "b", "c"):
        expected = expectations.expected_outputs(stem, known.slides[stem], known.polygons[stem])
        given = {outcome.step: outcome.fingerprint for outcome in outcomes if outcome.stem == stem}
        assert {step: it.fingerprint for step, it in expected.items()} == given


def test_finished_slides_are_fresh_and_others_are_missing(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"))

    assert first(made) == dict.fromkeys(ALL, FRESH)
    assert set(states(made, "never")[SLIDE]) == {(State.MISSING, "")}
    assert {state for found in states(made, "never").values() for state, _ in found} == {State.MISSING}


@pytest.mark.parametrize(
    ("changes", "stale", "why"),
    [
        ({"geometry": {"precision": "bfloat16"}}, [FEATURES, EMBEDDING], "precision float32 → bfloat16"),
        ({"geometry": {"min_tissue": 0.5}}, [COORDS, FEATURES, EMBEDDING], "grid.min_tissue 0.1 → 0.5"),
        ({"tissue": {"closing_um": 4.0}}, ALL[1:], "closing_um 16.0 → 4.0"),
        ({"slides": {"full_hash": True}}, ALL, "full_hash false → true"),
        ({"slides": {"reader": "tiff"}}, ALL, "reader found out → tiff"),
        ({"slides": {"mpp_keys": ["a.b", "c"]}}, ALL, "mpp_keys none → a.b c"),
        ({"runtime": {"device": "cpu", "feature_batch_size": 3}}, [], ""),
        ({"runtime": {"device": "cpu", "feature_batch_size": "auto", "compile": "off"}}, [], ""),
    ],
)
def test_a_changed_setting_makes_stale_what_depends_on_it_and_says_so(tmp_path, weights, changes, stale, why):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"), paint(tmp_path, "b"))

    found = states(project(tmp_path, weights, **changes), "a", "b")

    assert [step for step in ALL if found[step][0][0] is State.STALE] == stale
    assert [step for step in ALL if found[step][0][0] is State.FRESH] == [it for it in ALL if it not in stale]
    if stale:
        assert found[stale[0]] == [(State.STALE, why)] * 2
        assert {found[step][0][1].split(": ")[0] for step in stale[1:]} == {"upstream changed"}


def test_other_weights_are_told_by_their_hash_for_every_slide_from_one_file(tmp_path, weights, monkeypatch):
    run(project(tmp_path, weights), paint(tmp_path, "a"), paint(tmp_path, "b", x=300))
    monkeypatch.setattr(validity, "MOST_READ", 1)

    found = states(project(tmp_path, random_weights(tmp_path / "new.pt", seed=1)), "a", "b")

    assert [state for state, _ in found[FEATURES]] == [State.STALE] * 2
    (why,) = {why for _, why in found[FEATURES]}
    assert why.startswith("weights.sha256 ")
    assert [why for _, why in found[EMBEDDING]] == [f"upstream changed: {FEATURES}"] * 2


def test_a_person_s_outlines_are_fresh_and_what_was_made_of_the_old_ones_is_stale(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"))
    path = Store(made.output).geojson("a")
    path.write_text(path.read_text().replace("256", "280"))

    found = first(made)

    assert found[TISSUE_MASK] == FRESH
    assert found[COORDS][0] is State.STALE
    assert found[COORDS][1] == "upstream changed: tissue_mask"


def test_a_stated_scale_that_differs_makes_the_slide_stale(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"))

    assert first(made, stated={"a": 0.25})[SLIDE] == (State.STALE, "stated mpp none → 0.25")
    assert first(made, stated={"a": None})[SLIDE] == FRESH


def test_patches_finer_than_scanned_and_missing_weights_fail_with_the_reason(tmp_path, weights):
    """Patches finer than scanned and missing weights are failures with the reason."""
    run(project(tmp_path, weights), paint(tmp_path, "a"))

    finer = first(project(tmp_path, weights, geometry={"target_mag": 40}))
    without = first(project(tmp_path, tmp_path / "gone.pt"))

    assert finer[COORDS][0] is State.FAILED
    assert "asked for 0.25 µm/px" in finer[COORDS][1]
    assert without[FEATURES][0] is State.FAILED
    assert "gone.pt" in without[FEATURES][1]


def test_a_slide_without_patches_has_the_embedding_that_it_can_have(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a", tissue=False))

    assert first(made) == dict.fromkeys(ALL, FRESH)


def test_deleted_files_are_missing_and_what_is_downstream_of_them_stale(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"))
    Store(made.output).geojson("a").unlink()

    found = first(made)

    assert found[TISSUE_MASK] == (State.MISSING, "")
    assert found[COORDS] == (State.STALE, "upstream changed: tissue_mask")


def test_a_damaged_record_fails_its_slide_alone(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"), paint(tmp_path, "b"))
    Store(made.output).record("b").write_text("{")

    found = states(made, "a", "b")

    assert found[SLIDE][0] == FRESH
    assert found[SLIDE][1][0] is State.FAILED
    assert "delete it and run again" in found[SLIDE][1][1]


def test_results_that_dagster_has_not_heard_of_are_stale_there(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"))
    files = stored_in_files(make_recipe(made))
    heard = Stored({**files.fingerprints, COORDS: {"a": "0" * 16}}, failed={EMBEDDING: {"a": "a: it broke"}})

    found = first(made, stored=heard)

    assert found[COORDS] == (State.STALE, NOT_RECORDED)
    assert found[EMBEDDING] == (State.FAILED, "a: it broke")


def test_neither_slides_nor_hdf5_files_are_opened_twice(tmp_path, weights):
    made = project(tmp_path, weights)
    source = paint(tmp_path, "a")
    run(made, source)
    path = Store(made.output).h5("a")
    os.utime(path, (1, 1))
    before = first(made)
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, (1, 1))
    source.path.unlink()

    assert first(made) == before


def test_a_supplied_mask_that_comes_changes_or_goes_makes_the_mask_stale(tmp_path, weights):
    made = project(tmp_path, weights)
    run(made, paint(tmp_path, "a"))
    masks = tmp_path / "masks"
    masks.mkdir()
    supplied = project(tmp_path, weights, slides={"masks": masks})
    (masks / "a.geojson").write_text(Store(made.output).geojson("a").read_text().replace("256", "280"))
    assert first(supplied)[TISSUE_MASK] == (State.STALE, "a.geojson was supplied")

    run(supplied, SlideSource("a", tmp_path / "a.svs"))

    assert first(supplied) == dict.fromkeys(ALL, FRESH)
    outlines = Store(made.output).geojson("a").read_text()
    (masks / "a.geojson").write_text(outlines.replace("280", "290"))
    assert first(supplied)[TISSUE_MASK] == (State.STALE, "a.geojson changed")
    (masks / "a.geojson").write_text(outlines)
    assert first(supplied)[TISSUE_MASK] == FRESH
    assert first(made)[TISSUE_MASK] == (State.STALE, "the supplied mask was taken away")
