"""A changed encoder: the canary, results that get another identity without a row changing, and what a repair takes."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from network_files import network_weights
from painting import paint_slide
from prepared import PreparedFolder

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import NoPatches, OutOfDate
from atlaspatch_core.operations.estimate import Rate, estimate_work
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.canary import CanarySpec, run_canary
from atlaspatch_core.upgrades.comparison import Canary, Tolerance, compare
from atlaspatch_core.upgrades.restamping import restamp
from atlaspatch_core.upgrades.trial import Trial, trials, try_upgrade
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe, make_recipe
from atlaspatch_core.validity.states import State, Validity, validities
from atlaspatch_core.validity.stored import stored_in_files

pytestmark = pytest.mark.quick

NETWORK = "timm-test_efficientnet"
FEATURES, EMBEDDING = OutputKey("patch_features", NETWORK), OutputKey("slide_embedding", f"mean-{NETWORK}")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, Path]:
    """One network in two file formats, and another one."""
    return network_weights(tmp_path_factory.mktemp("weights"))


def project(folder: Path, weights: Path, **geometry) -> Project:
    base = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": [f"mean-{NETWORK}"]}
    values = {
        "output": folder / "out",
        "geometry": [base | geometry],
        "weights": {NETWORK: weights},
        "upgrades": {"canary_slides": 2, "canary_patches": 3},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_project(values, origin="test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, weights) -> PreparedFolder:
    """Three slides of noise, taken to their embeddings with the old weights."""

    def prepare(folder: Path) -> None:
        noise = np.random.default_rng(0)
        for stem in ("a", "b", "c"):
            pixels = np.full((1024, 1024, 3), 255, np.uint8)
            pixels[256:768, 256:768] = noise.integers((150, 40, 100), (250, 120, 200), (512, 512, 3))
            paint_slide(folder / f"{stem}.svs", pixels)
        run(project(folder, weights["old.pt"]), sources_in(folder))

    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@pytest.fixture
def folder(finished) -> Path:
    return finished.put_back()


@pytest.fixture
def sources(folder) -> dict[str, SlideSource]:
    return sources_in(folder)


def sources_in(folder: Path) -> dict[str, SlideSource]:
    return {stem: SlideSource(stem, folder / f"{stem}.svs") for stem in ("a", "b", "c")}


def run(made: Project, sources: dict[str, SlideSource]) -> list[Outcome]:
    return list(process(sources.values(), make_recipe(made)))


def stale(recipe: Recipe, sources: dict[str, SlideSource]) -> list[Validity]:
    found = validities(recipe, sources, stored_in_files(recipe))
    return [validity for validity in found if validity.state is not State.FRESH]


def rows(folder: Path, stem: str, dataset: str) -> tuple[np.ndarray, dict]:
    with h5py.File(folder / "out" / "patches" / f"{stem}.h5") as file:
        item = file[dataset]
        assert isinstance(item, h5py.Dataset)
        return item[()], dict(item.attrs)


def only_trial(recipe: Recipe, sources: dict[str, SlideSource]) -> Trial:
    (trial,) = trials(recipe, stale(recipe, sources))
    return trial


def test_the_same_weights_in_another_file_give_results_the_new_identity(folder, weights, sources):
    """The same weights in another file are the same and results get the new identity."""
    recipe = make_recipe(project(folder, weights["same.safetensors"]))
    before = {(stem, it): rows(folder, stem, it) for stem in sources for it in (f"features/{NETWORK}", "coords")}
    trial = only_trial(recipe, sources)
    assert trial.stems == ("a", "b", "c")
    assert trial.why.startswith("weights.sha256 ")

    canary = try_upgrade(recipe, trial, sources)
    outcomes = list(restamp(recipe, trial, canary))

    assert (canary.same, canary.slides, canary.patches) == (True, 2, 6)
    assert canary.least_cosine == pytest.approx(1)
    assert {(it.stem, it.step, it.status) for it in outcomes} == {
        (stem, step, Status.RESTAMPED) for stem in sources for step in (FEATURES, EMBEDDING)
    }
    for (stem, name), (values, attributes) in before.items():
        now, marks = rows(folder, stem, name)
        np.testing.assert_array_equal(now, values)
        if name != "coords":
            assert marks["restamped_from"] == attributes["fingerprint"] != marks["fingerprint"]
            assert '"least_cosine"' in marks["canary"]
    assert stale(recipe, sources) == []
    assert {it.status for it in process(sources.values(), recipe)} == {Status.REUSED}
    told = {(it.stem, it.step): it.fingerprint for it in process(sources.values(), recipe)}
    assert all(it.fingerprint == told[it.stem, it.step] for it in outcomes)


def test_other_weights_are_different_and_it_says_in_what(folder, weights, sources):
    recipe = make_recipe(project(folder, weights["other.pt"]))

    canary = try_upgrade(recipe, only_trial(recipe, sources), sources)

    assert not canary.same
    assert canary.text.startswith("different: 6 patches of 2 slides, cosine ")


def test_the_same_seed_tries_the_same_patches(folder, weights, sources):
    recipe = make_recipe(project(folder, weights["other.pt"]))
    stage, found = recipe.stage(FEATURES), list(sources.values())

    first, again, other = (run_canary(recipe, stage, found, CanarySpec(1, 2, seed)) for seed in (1, 1, 2))

    assert replace(again, patches_per_second=first.patches_per_second) == first
    assert other.mean_cosine != first.mean_cosine


def test_slides_that_are_gone_are_passed_over_and_none_left_is_an_error(folder, weights, sources):
    recipe = make_recipe(project(folder, weights["same.safetensors"]))
    trial = only_trial(recipe, sources)
    for stem in ("a", "b"):
        sources[stem].path.unlink()
    assert try_upgrade(recipe, trial, sources).slides == 1

    sources["c"].path.unlink()

    with pytest.raises(NoPatches, match="nothing to compare"):
        try_upgrade(recipe, trial, sources)


def test_features_of_other_coords_and_unchanged_ones_are_not_tried(folder, weights, sources):
    other_coords = make_recipe(project(folder, weights["old.pt"], step_size=128))

    assert trials(other_coords, stale(other_coords, sources)) == []


def test_a_result_that_was_replaced_meanwhile_is_left_alone(folder, weights, sources):
    recipe = make_recipe(project(folder, weights["same.safetensors"]))
    trial = only_trial(recipe, sources)
    canary = try_upgrade(recipe, trial, sources)
    run(project(folder, weights["other.pt"]), {"a": sources["a"]})
    before = rows(folder, "a", f"features/{NETWORK}")[1]["fingerprint"]

    outcomes = list(restamp(recipe, trial, canary))

    assert {it.stem for it in outcomes} == {"b", "c"}
    assert rows(folder, "a", f"features/{NETWORK}")[1]["fingerprint"] == before
    stamp = IdentityUpdate(f"features/{NETWORK}", "0" * 16, recipe.stage(FEATURES).identity({"patch_coords": "0" * 16}))
    with pytest.raises(OutOfDate):
        Store(recipe.project.output).restamp("a", "", [stamp], {})


class Sample:
    seconds = 1.0

    def __init__(self, stored, new) -> None:
        self.stored, self.new = np.array(stored, np.float32), np.array(new, np.float32)


def compared(stored, new, **bounds) -> Canary:
    return compare([Sample(stored, new)], Tolerance(**bounds))


def test_the_measures_are_what_they_say():
    canary = compared([[3, 4], [1, 0]], [[6, 8], [0, 1]])

    assert (canary.least_cosine, canary.mean_cosine) == (0, 0.5)
    assert (canary.least_norm_ratio, canary.most_norm_ratio) == (1, 2)
    assert canary.most_difference == 1
    assert canary.neighbours == 1
    assert canary.patches_per_second == 2


def test_a_longer_vector_a_turned_one_and_one_of_another_dim_are_different():
    assert compared([[1, 0], [0, 1]], [[1, 0], [0, 1]]).same
    assert [it.split()[0] for it in compared([[1, 0], [0, 1]], [[1.1, 0], [0, 1.1]]).differences] == ["norm", "a"]
    assert not compared([[1, 0], [0, 1]], [[0.99, 0.1], [0, 1]]).same
    assert not compared([[1, 0]], [[1, 0, 0]]).same


def test_an_estimate_counts_slides_patches_hours_and_gigabytes(folder, weights, sources):
    recipe = make_recipe(project(folder, weights["other.pt"]))
    rates = {FEATURES: Rate(2.0), EMBEDDING: Rate(1.0)}

    found = estimate_work(recipe, stale(recipe, sources), rates)

    assert (found.slides, found.patches, found.seconds) == (3, 12, 12 / 2 + 3)
    assert found.gigabytes == pytest.approx(12 * 256 * 4 / 1e9)
    assert found.text.startswith(f"3 slides (3 × {FEATURES}, 3 × {EMBEDDING}): 12 patches, about 9 s, ")


def test_an_estimate_says_which_rates_were_never_measured(folder, weights, sources):
    recipe = make_recipe(project(folder, weights["other.pt"]))

    found = estimate_work(recipe, stale(recipe, sources), {FEATURES: Rate(2.0)})

    assert found.assumed == (EMBEDDING,)
    assert found.text.endswith(f"no rate was measured yet for {EMBEDDING}")
    assert estimate_work(recipe, [], {}).text == "nothing to do"
