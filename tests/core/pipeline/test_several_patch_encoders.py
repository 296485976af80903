"""A slide encoder that takes the features of several patch encoders."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from network_files import network_weights
from two_upstream import EMBEDDING, NETWORK, OF_TWO, paint_noise, project_of_two

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.consent import executing_nothing
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.listing import listed
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.plugins import load_plugins
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import InvalidProject, NoPatches
from atlaspatch_core.operations.measured_rates import measure_rates
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.upgrades.restamping import restamp
from atlaspatch_core.upgrades.trial import trials, try_upgrade
from atlaspatch_core.validity.outcome import Outcome, OutputKey
from atlaspatch_core.validity.recipe import Recipe, make_recipe
from atlaspatch_core.validity.states import State, Validity, validities
from atlaspatch_core.validity.stored import stored_in_files

pytestmark = pytest.mark.quick

REDDEST = 1
"""Row of the patch that is picked."""


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Path]:
    return network_weights(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> SlideSource:
    (tmp_path / "slides").mkdir()
    return paint_noise(tmp_path / "slides" / "a.svs")


def run(recipe: Recipe, source: SlideSource) -> dict[str, Outcome]:
    return {str(outcome.step): outcome for outcome in process([source], recipe)}


def states(recipe: Recipe) -> dict[str, Validity]:
    return {str(output.step): output for output in validities(recipe, ["a"], stored_in_files(recipe))}


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with h5py.File(folder / "out" / "patches" / "a.h5") as file:
        names = ("features/tiny", f"features/{NETWORK}", "slide_features/of-brightest")
        return {name.rpartition("/")[2]: file[name][()] for name in names}  # pyright: ignore[reportIndexIssue]


def test_the_embedding_is_made_of_the_features_of_both(tmp_path: Path, weights, source):
    recipe = make_recipe(project_of_two(tmp_path, weights["old.pt"]))
    outcome = run(recipe, source)[EMBEDDING]
    stored = arrays(tmp_path)
    assert stored["tiny"][:, 0].argmax() == REDDEST
    assert stored["of-brightest"].tolist() == stored[NETWORK][REDDEST].tolist()
    assert set(outcome.inputs) == {"patch_coords", "patch_features/tiny", f"patch_features/{NETWORK}"}
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        assert file["slide_features/of-brightest"].attrs["source_patch_encoder"] == f"tiny, {NETWORK}"


def test_features_that_are_stored_are_read_and_a_second_run_reuses_all(tmp_path: Path, weights, source):
    of = project_of_two(tmp_path, weights["old.pt"])
    geometry = of.geometry[0].model_copy(update={"slide_encoders": (), "patch_encoders": (NETWORK, "tiny")})
    run(make_recipe(of.model_copy(update={"geometry": (geometry,)})), source)
    first, second = (run(make_recipe(of), source) for _ in range(2))
    assert [first[step].status.value for step in (f"patch_features/{NETWORK}", EMBEDDING)] == ["reused", "computed"]
    assert arrays(tmp_path)["of-brightest"].tolist() == arrays(tmp_path)[NETWORK][REDDEST].tolist()
    assert second[EMBEDDING].status.value == "reused"


def test_each_of_the_two_makes_it_stale_and_status_says_which(tmp_path: Path, weights, source):
    run(make_recipe(project_of_two(tmp_path, weights["old.pt"])), source)
    changed = make_recipe(project_of_two(tmp_path, weights["other.pt"]))
    stale = states(changed)[EMBEDDING]
    assert (stale.state, stale.why) == (State.STALE, f"upstream changed: patch_features/{NETWORK}")
    outcomes = run(changed, source)
    assert outcomes["patch_features/tiny"].status.value == "reused"
    assert (outcomes[EMBEDDING].status.value, outcomes[EMBEDDING].why) == ("computed", stale.why)
    assert {output.state for output in states(changed).values()} == {State.FRESH}


def test_a_reader_that_executes_no_plugin_knows_both_from_the_record(tmp_path: Path, weights, source):
    of = project_of_two(tmp_path, weights["old.pt"])
    recipe = make_recipe(of)
    run(recipe, source)
    with executing_nothing():
        recorded = make_recipe(of)
        assert {output.state for output in states(recorded).values()} == {State.FRESH}
    stage = recorded.stage(OutputKey("slide_embedding", "of-brightest"))
    assert stage.features == recipe.stage(stage.step).features
    assert [step.encoder for step in stage.features] == ["tiny", NETWORK]


def test_the_same_numbers_of_one_encoder_restamp_what_is_made_of_both(tmp_path: Path, weights, source):
    run(make_recipe(project_of_two(tmp_path, weights["old.pt"])), source)
    changed = make_recipe(project_of_two(tmp_path, weights["same.safetensors"]))
    [trial] = trials(changed, list(states(changed).values()))
    canary = try_upgrade(changed, trial, {"a": source})
    steps = {str(outcome.step) for outcome in restamp(changed, trial, canary)}
    assert steps == {f"patch_features/{NETWORK}", EMBEDDING}
    assert {output.state for output in states(changed).values()} == {State.FRESH}


def test_its_speed_is_measured_with_the_features_of_both(tmp_path: Path, weights, source):
    told: list[str] = []
    measured = measure_rates(make_recipe(project_of_two(tmp_path, weights["old.pt"])), [source], tell=told.append)
    assert measured.per_second[EMBEDDING] > 0
    assert not [line for line in told if "not measured" in line]


def test_one_upstream_leaves_the_spec_as_it_was_and_a_name_twice_is_refused():
    with pytest.raises(ValueError, match="twice: takes features twice, of a, b, a; name each once"):
        SlideEncoder(
            name="twice", patch_encoder="a", further_patch_encoders=("b", "a"), dim=1, forward=max, license="MIT"
        )
    assert "further_patch_encoders" not in find_slide_encoder("mean-uni_v1").spec()


def test_the_list_and_the_spec_name_both(tmp_path: Path, weights):
    plugins = load_plugins(project_of_two(tmp_path, weights["old.pt"]).plugins)
    (row,) = [row for row in listed("slide", plugins) if row.name == "of-brightest"]
    assert (row.patch_encoder, row.further_patch_encoders) == ("tiny", (NETWORK,))
    assert plugins.slide["of-brightest"].spec()["further_patch_encoders"] == [NETWORK]


def test_python_gives_what_is_stored_and_takes_the_features_of_both(tmp_path: Path, weights, source):
    of = project_of_two(tmp_path, weights["old.pt"])
    run(make_recipe(of), source)
    stored = arrays(tmp_path)
    options = {"plugins": of.plugins, "weights": {NETWORK: weights["old.pt"]}, "device": "cpu"}
    with ap.open_slide(source.path) as slide:
        grid = ap.lay_grid(slide, ap.segment(slide), patch_size=256, target_mag=20)
        whole = ap.encode(slide, grid, "of-brightest", precision="float32", **options)
        given = ap.encode(slide, grid, "of-brightest", features=(stored["tiny"], stored[NETWORK]), **options)
        with pytest.raises(InvalidProject, match=f"1 arrays of features were given; give those of tiny, {NETWORK}"):
            ap.encode(slide, grid, "of-brightest", features=stored["tiny"], **options)
        with pytest.raises(NoPatches, match="3 features were given for 4 patches"):
            ap.encode(slide, grid, "of-brightest", features=(stored["tiny"], stored[NETWORK][:3]), **options)
    assert whole.tolist() == given.tolist() == stored["of-brightest"].tolist()


def test_a_module_of_torch_takes_one_argument_a_patch_encoder():
    import torch

    class Joined(torch.nn.Module):
        def forward(self, first, second):
            return torch.cat([first.amax(dim=0), second.amin(dim=0)])

    encoder = SlideEncoder.from_module("joined", Joined, patch_encoder="one", further_patch_encoders=("two",), dim=3)
    bags = np.array([[1, 2], [3, 0]], np.float32), np.array([[5], [4]], np.float32)
    embedding = encode_slide(load_slide_encoder(encoder), bags, np.zeros((2, 2), np.int64), 256)
    assert embedding.tolist() == [3, 2, 4]


@pytest.mark.e2e
def test_encode_slide_computes_the_features_of_both_by_itself(tmp_path: Path):
    weights = network_weights(tmp_path)
    source = paint_noise(tmp_path / "a.svs")
    (tmp_path / "of_two.py").write_text(OF_TWO)
    options = {
        "--output": tmp_path / "out",
        "--slide-encoders": "of-brightest",
        "--patch-size": 256,
        "--target-mag": 20,
        "--plugin": tmp_path / "of_two.py",
        "--patch-encoder-ckpt-path": f"{NETWORK}={weights['old.pt']}",
        "--device": "cpu",
    }
    arguments = [str(word) for pair in options.items() for word in pair]
    result = CliRunner().invoke(cli, ["encode-slide", str(source.path), *arguments])
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        picked = file["features/tiny"][:, 0].argmax()  # pyright: ignore[reportIndexIssue]
        taken = file[f"features/{NETWORK}"][picked]  # pyright: ignore[reportIndexIssue]
        assert file["slide_features/of-brightest"][()].tolist() == taken.tolist()  # pyright: ignore
