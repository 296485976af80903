"""CONCH v1.5 from its file of tensors: whatever they are called, the right features or a refusal by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import conch_files as files
import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conch_files import BARE, CAPTION, CONTRAST, DIM, NARROW, OUTSIDE, WIDTH, State, conch_tensors, pooling_tensors
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.loaded import to_device, to_input
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.patch.conch_tensors import UnclearTensors, sort_tensors
from atlaspatch_core.encoders.patch.conch_vision import FILE, ConchVision
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.weights import LocalWeights
from atlaspatch_core.errors import RemoteCodeNotAllowed, WrongWeights
from atlaspatch_core.validity.recipe import make_recipe

PIXELS = np.random.default_rng(7).integers(0, 256, (2, 448, 448, 3), np.uint8)
WHOLE = conch_tensors()
TRUNK = {name.removeprefix("trunk."): tensor for name, tensor in WHOLE.items() if name.startswith("trunk.")}


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ATLASPATCH_CACHE", str(folder / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    for name in ("ATLASPATCH_ALLOW_REMOTE_CODE", "ATLASPATCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


def narrow(path: Path) -> PatchEncoder:
    """conch_v15 as it is declared, but for its widths."""
    return replace(PATCH_ENCODERS["conch_v15"], architecture=NARROW, source=LocalWeights(path), dim=DIM)


def sort(tensors: State) -> State:
    return sort_tensors(tensors, TRUNK, DIM)


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "grid", "inner"), [(CONTRAST, 28, DIM), (CONTRAST, 14, 40), (OUTSIDE, 14, DIM), (BARE, 16, WIDTH)]
)
def test_features_are_those_of_the_tensors_whatever_their_names(tmp_path: Path, names, grid: int, inner: int):
    """Grids of the input and of the network, and a third; an attention as wide as the query, as tokens, as neither."""
    tensors = conch_tensors(names, grid, inner)
    encoder = narrow(files.save(tensors, tmp_path / "a.bin"))
    expected = files.expected_features(tensors, names, to_input(to_device(PIXELS, torch.device("cpu")), encoder))
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    np.testing.assert_allclose(load_patch_encoder(encoder).encode(PIXELS), expected, atol=2e-5)


def test_the_caption_tower_beside_it_changes_nothing():
    caption = {**CAPTION, "query": "attn_pool_caption.queries"}
    both = WHOLE | pooling_tensors(caption, inner=24, queries=256, seed=9)
    assert {name: id(tensor) for name, tensor in sort(both).items() if name != "pooling.query"} == {
        name: id(tensor) for name, tensor in sort(WHOLE).items() if name != "pooling.query"
    }


WORDS = st.text("abcdefgh", min_size=1, max_size=4)


@given(st.lists(WORDS, min_size=8, max_size=8, unique=True), st.sampled_from([(1, DIM), (DIM,), (1, 1, DIM)]))
def test_no_name_matters_where_shapes_decide(words: list[str], shape: tuple[int, ...]):
    pool, query, queries, keys_values, output, query_norm, token_norm, norm = words
    names = {
        "trunk": "",
        "query": f"{pool}.{query}",
        "queries": f"{pool}.{queries}.weight",
        "keys_values": f"{pool}.{keys_values}.weight",
        "output": f"{pool}.{output}.weight",
        "query_norm": f"{pool}.{query_norm}.{{weight,bias}}",
        "token_norm": f"{pool}.{token_norm}.{{gamma,beta}}",
        "norm": f"{norm}.{{weight,bias}}",
    }
    tensors = pooling_tensors(names)
    tensors[names["query"]] = tensors[names["query"]].reshape(shape)
    found = sort(TRUNK | tensors)
    assert found.keys() - {f"trunk.{name}" for name in TRUNK} == {
        *("pooling.query", "pooling.to_queries.weight", "pooling.to_keys_values.weight", "pooling.to_output.weight"),
        *(
            f"{norm}.{end}"
            for norm in ("pooling.query_norm", "pooling.token_norm", "norm")
            for end in ("weight", "bias")
        ),
    }
    assert found["pooling.to_output.weight"] is tensors[names["output"]]
    assert found["pooling.query_norm.bias"] is tensors[f"{pool}.{query_norm}.bias"]
    assert found["norm.weight"] is tensors[f"{norm}.weight"]


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [CONTRAST, OUTSIDE, BARE], ids=["contrast", "outside", "bare"])
def test_no_file_that_lacks_a_tensor_is_loaded(tmp_path: Path, names):
    whole = conch_tensors(names, inner=48)
    pooling = pooling_tensors(names).keys()
    for lacking in (*pooling, *(names["trunk"] + end for end in ("patch_embed.proj.weight", "pos_embed"))):
        with pytest.raises(UnclearTensors):
            sort({name: tensor for name, tensor in whole.items() if name != lacking})
    del whole[names["trunk"] + "blocks.1.ls2.gamma"]
    with pytest.raises(WrongWeights, match=r"conch_v15: .* missing trunk\.blocks\.1\.ls2\.gamma"):
        load_patch_encoder(narrow(files.save(whole, tmp_path / "a.bin")))


@given(
    st.sampled_from(["", "trunk.", "ln_contrast.", "attn_pool_contrast.", "attn_pool_contrast.attn.", "text.", "ln_"]),
    st.sampled_from(["proj", "q.weight", "out.bias", "weight_", "extra.weight", "extra.bias", "logit_scale"]),
    st.sampled_from([(), (1,), (DIM,), (WIDTH,), (DIM, DIM), (DIM, 40), (80, WIDTH), (1, DIM), (WIDTH, DIM)]),
)
def test_no_tensor_is_passed_over(scope: str, name: str, shape: tuple[int, ...]):
    """A projection behind the pooling, a bias, a tower of texts, a second of anything: it is not the network known."""
    with pytest.raises(UnclearTensors, match=rf"(^|[ ,]){scope}{name}($|[ ,])".replace(".", r"\.")):
        sort(WHOLE | {scope + name: torch.ones(shape)})


CASES: dict[str, tuple[Callable[[State], object], str]] = {
    "two poolings of one query each": (
        lambda tensors: tensors.update(pooling_tensors(CAPTION)),
        "one pooling is to have one query, of attn_pool_contrast.query, attn_pool_caption.query",
    ),
    "a second norm behind it": (
        lambda tensors: tensors.update({"ln_x.weight": torch.ones(DIM), "ln_x.bias": torch.ones(DIM)}),
        "the norm behind the pooling may be ln_contrast, ln_x",
    ),
    "many queries": (
        lambda tensors: tensors.update({CONTRAST["query"]: torch.ones(9, DIM)}),
        "one pooling is to have one query, of attn_pool_contrast.query",
    ),
    "an attention that heads do not divide": (
        lambda tensors: tensors.update(pooling_tensors(CONTRAST, inner=36)),
        "its attention is 36 wide, which 8 heads do not divide",
    ),
    "positions without a class token": (
        lambda tensors: tensors.update({"trunk.pos_embed": torch.ones(1, 784, WIDTH)}),
        "position embeddings of shape (1, 784, 64) are no class token and a square",
    ),
    "two trunks": (
        lambda tensors: tensors.update({"teacher.patch_embed.proj.weight": torch.ones(WIDTH, 3, 16, 16)}),
        "not trunk.patch_embed.proj.weight, teacher.patch_embed.proj.weight",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_clear_is_one_sentence_that_names_the_tensors(tmp_path: Path, case: str):
    change, clause = CASES[case]
    tensors = dict(WHOLE)
    change(tensors)
    path = files.save(tensors, tmp_path / "a.bin")
    with pytest.raises(WrongWeights) as refusal:
        load_patch_encoder(narrow(path))
    assert str(refusal.value).startswith(f"conch_v15: {path} is no file of CONCH v1.5 that is understood: ")
    assert clause in str(refusal.value)
    assert FILE in str(refusal.value)


def test_square_projections_without_a_word_for_their_roles_are_refused():
    names = {**CONTRAST, "queries": "attn_pool_contrast.a.weight", "output": "attn_pool_contrast.b.weight"}
    assert sort(conch_tensors(names, inner=40))
    with pytest.raises(UnclearTensors, match="no pooling by attention can be made of"):
        sort(conch_tensors(names, inner=DIM))


# ---- whose weights, and whose code -----------------------------------------------------------------------------------


def stage_encoder(**values) -> PatchEncoder:
    geometry = {"patch_size": 512, "target_mag": 20, "patch_encoders": ("conch_v15",)}
    (stage,) = (
        stage
        for stage in make_recipe(make_project({"geometry": [geometry], **values}, origin="test")).stages
        if stage.encoder
    )
    assert isinstance(stage.encoder, PatchEncoder)
    return stage.encoder


def test_without_consent_to_code_it_is_the_file_of_the_hub():
    encoder = stage_encoder()
    assert isinstance(encoder.architecture, ConchVision)
    assert encoder.spec()["weights"] == {"repository": "MahmoodLab/conchv1_5", "revision": "main"}
    assert encoder.extra is None


def test_with_consent_it_is_titan_by_its_code_as_before():
    encoder = stage_encoder(allow_remote_code=["conch_v1_5"])
    assert isinstance(encoder.architecture, RemoteModel)
    assert encoder.spec() == PATCH_ENCODERS["conch_v15"].spec()


def test_a_file_or_its_folder_wins_over_consent_and_a_folder_with_code_asks_for_it(tmp_path: Path):
    file = tmp_path / "snapshot" / FILE
    file.parent.mkdir()
    file.write_bytes(b"numbers")
    for path in (file, file.parent):
        encoder = stage_encoder(allow_remote_code=["conch_v15"], weights={"conch_v15": path})
        assert isinstance(encoder.architecture, ConchVision)
        assert encoder.spec()["weights"] == LocalWeights(path).spec("conch_v15")
    titan = tmp_path / "titan"
    titan.mkdir()
    (titan / "config.json").write_text("{}")
    with pytest.raises(RemoteCodeNotAllowed, match="conch_v15"):
        stage_encoder(weights={"conch_v15": titan})
    assert isinstance(
        stage_encoder(allow_remote_code=["conch_v15"], weights={"conch_v15": titan}).architecture, RemoteModel
    )


# ---- through a command --------------------------------------------------------------------------------------------

PLUGIN = """
from dataclasses import replace

from conch_files import DIM, NARROW

from atlaspatch_core.encoders.patch import PATCH_ENCODERS

CONCH = PATCH_ENCODERS["conch_v15"]
PATCH_ENCODERS = [
    replace(
        CONCH, name="narrow", aliases=(), dim=DIM, without_code=replace(CONCH.without_code, architecture=NARROW)
    )
]
"""


@pytest.mark.e2e
def test_a_command_takes_the_file_without_consent_to_code(tmp_path: Path):
    (tmp_path / "narrow.py").write_text(PLUGIN)
    pixels = stain(white(512, 512), 100, 100, 300, 300)
    paint_slide(tmp_path / "a.svs", pixels, objective_power=20)
    path = files.save(WHOLE, tmp_path / FILE)
    words = [str(tmp_path / "a.svs"), "-o", str(tmp_path / "out"), "--patch-size", "512", "--target-mag", "20"]
    words += ["--feature-plugin", str(tmp_path / "narrow.py"), "--patch-encoders", "narrow", "--device", "cpu"]
    result = CliRunner().invoke(cli, ["encode-slide", *words, "--patch-encoder-ckpt-path", f"narrow={path}"])
    assert result.exit_code == 0, result.output
    network_input = to_input(to_device(pixels[None], torch.device("cpu")), find_patch_encoder("conch_v15"))
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as h5:
        features = np.asarray(h5["features/narrow"])
        assert LocalWeights(path).spec("narrow")["sha256"] in h5["features/narrow"].attrs["recipe"]
    np.testing.assert_allclose(features, files.expected_features(WHOLE, CONTRAST, network_input), atol=2e-4)
