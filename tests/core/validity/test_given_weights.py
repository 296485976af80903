"""Weights go to whom they are given for, whatever name of it was written, at every door; to nobody in silence."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.weights import LocalWeights
from atlaspatch_core.errors import InvalidProject, RemoteCodeNotAllowed, UnknownName
from atlaspatch_core.validity.recipe import Recipe, make_recipe

FILE, OTHER = Path("/weights/a.pt"), Path("/weights/b.pt")
OPEN = sorted(name for name, e in PATCH_ENCODERS.items() if not isinstance(e.architecture, RemoteModel))
REMOTE = sorted(name for name, e in PATCH_ENCODERS.items() if isinstance(e.architecture, RemoteModel))


def recipe(weights: dict[str, Path], *names: str, **values: object) -> Recipe:
    geometry = {"patch_size": 256, "target_mpp": 0.5, "patch_encoders": names}
    return make_recipe(make_project({"geometry": [geometry], "weights": weights, **values}, origin="test"))


def encoder_of(recipe: Recipe, name: str) -> PatchEncoder:
    [encoder] = [stage.encoder for stage in recipe.stages if stage.step.encoder == name]
    assert isinstance(encoder, PatchEncoder)
    return encoder


def names_of(encoder: PatchEncoder) -> list[str]:
    """Return every name of an encoder: aliases, and those of its network with the word of its output."""
    own = [encoder.name, *encoder.aliases]
    of_network = [encoder.whole.name, *encoder.whole.aliases] if encoder.whole else own
    return own + ([f"{name}:{encoder.output}" for name in of_network] if encoder.output else [])


@examples(80)
@given(data=st.data(), name=st.sampled_from(OPEN))
def test_weights_are_known_by_any_name_however_the_encoder_is_asked_for(data: st.DataObject, name: str):
    words = st.sampled_from(names_of(PATCH_ENCODERS[name]))
    cased = st.sampled_from([str, str.upper, str.title])
    key, asked = (data.draw(cased)(data.draw(words)) for _ in range(2))
    found = recipe({key: FILE}, asked)
    assert encoder_of(found, name) == encoder_of(recipe({name: FILE}, name), name)
    assert encoder_of(found, name).source == LocalWeights(FILE)
    assert found.project.weights == {name: FILE}
    assert not [warning for warning in found.warnings if "weights" in warning.text]


@pytest.mark.parametrize("key", ["virchow_v2", "VIRCHOW2", "virchow2"])
def test_weights_of_a_network_by_any_of_its_names_are_those_of_its_outputs(key: str):
    assert encoder_of(recipe({key: FILE}, "virchow2:class"), "virchow_v2_cls").source == LocalWeights(FILE)
    both = recipe({key: FILE, "Virchow2:class": OTHER}, "virchow2_cls", "virchow2")
    assert encoder_of(both, "virchow_v2_cls").source == LocalWeights(OTHER)
    assert encoder_of(both, "virchow_v2").source == LocalWeights(FILE)


@pytest.mark.parametrize("name", REMOTE)
def test_consent_counts_by_any_name(name: str):
    encoder = PATCH_ENCODERS[name]
    of_network = [encoder.whole.name, *encoder.whole.aliases] if encoder.whole else []
    for word in (*names_of(encoder), *of_network):
        allowed = encoder_of(recipe({}, name, allow_remote_code=[word.upper()]), name).architecture
        assert isinstance(allowed, RemoteModel), word
        assert allowed.allowed, word
    if encoder.without_code is None:
        with pytest.raises(RemoteCodeNotAllowed):
            recipe({}, name, allow_remote_code=["another"])


def test_a_name_that_a_patch_and_a_slide_encoder_have_serves_both():
    given = recipe({"gigapath": FILE}, "gigapath").project.weights
    assert set(given.values()) == {FILE}
    assert len(given) == 2


def test_two_files_for_one_are_refused_and_one_given_twice_is_not():
    assert recipe({"virchow2": FILE, "VIRCHOW_V2": FILE}, "virchow2").project.weights == {"virchow_v2": FILE}
    for keys in (("virchow2", "virchow_v2"), ("virchow2", "VIRCHOW2"), ("virchow_v2", "Virchow2")):
        with pytest.raises(InvalidProject, match="weights are given twice for virchow_v2"):
            recipe(dict(zip(keys, (FILE, OTHER), strict=True)), "virchow2")


def test_weights_of_nothing_are_refused_and_of_what_does_not_run_are_told():
    with pytest.raises(UnknownName, match="weights are given for nosuch: no encoder or network is called nosuch"):
        recipe({"nosuch": FILE}, "resnet18")
    [told] = recipe({"uni_v2": FILE, "hest": FILE, "resnet18": OTHER}, "resnet18").warnings
    assert told.text == "weights are given for hest, uni_v2, which does not run here"


def test_every_door_refuses_weights_of_nothing(tmp_path: Path):
    file = tmp_path / "a.pt"
    file.touch()
    paint_slide(tmp_path / "a.svs", stain(white(512, 512), 64, 64, 256, 256))
    options = ["--patch-size", "256", "--patch-encoder-ckpt-path", f"nosuch={file}"]
    typed = ["encode-slide", f"{tmp_path}/a.svs", "-o", f"{tmp_path}/out", "--target-mag", "20", *options]
    staged = ["run", "--task", "feat", "--wsi-dir", f"{tmp_path}", "--job-dir", f"{tmp_path}/out"]
    staged += ["--mag", "20", "--patch-encoder", "resnet18", *options]
    for words in ([*typed, "--patch-encoders", "resnet18"], staged):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 2, done.output
        assert "no encoder or network is called nosuch" in done.output
    geometry = {"patch_size": 256, "target_mag": 20, "patch_encoders": "resnet18"}
    with pytest.raises(UnknownName, match="no encoder or network is called nosuch"):
        ap.process(tmp_path / "a.svs", tmp_path / "out", **geometry, weights={"nosuch": file})


def test_the_last_weights_count_for_status_whatever_name_was_recorded(tmp_path: Path):
    """Of a folder whose runs named them by an alias, or in another case: it was stale as soon as it was made."""
    paint_slide(tmp_path / "a.svs", stain(white(512, 512), 64, 64, 256, 256), objective_power=20)
    words = ["encode-slide", f"{tmp_path}/a.svs", "-o", f"{tmp_path}/out", "--patch-size", "256", "--target-mag", "20"]
    words += ["--patch-encoders", "resnet18", "--patch-encoder-ckpt-path"]
    known: set[Path] = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(PATCH_ENCODERS["resnet18"].architecture.build(None).state_dict(), tmp_path / f"{seed}.pt")
        done = CliRunner().invoke(cli, [*words, f"ResNet18={tmp_path}/{seed}.pt"])
        assert done.exit_code == 0, done.output
        [run] = set((tmp_path / "out" / "runs").glob("*.json")) - known
        known.add(run)
    values = json.loads(run.read_bytes())
    assert values["project"]["weights"] == {"resnet18": f"{tmp_path}/2.pt"}
    for weights in (values["project"]["weights"], {"RESNET18": f"{tmp_path}/2.pt"}):
        values["project"]["weights"] = weights
        run.write_text(json.dumps(values))
        assert "stale" not in CliRunner().invoke(cli, ["status", f"{tmp_path}/out"]).output
