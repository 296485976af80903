"""Outputs are a dimension of one declaration: each has a name, features of its own, and the network they share."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atlaspatch_core.config.policy import permitted
from atlaspatch_core.config.project import make_project
from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Output, PatchEncoder, Transform
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import DECLARED, PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.pooling import ClassAndMean, class_token
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.encoders.weights import LocalWeights
from atlaspatch_core.errors import UnknownName

WITH_OUTPUTS = [encoder for encoder in DECLARED if encoder.outputs]


def test_no_network_is_declared_twice_with_another_output():
    """Two declarations differ in more than what is taken of the network."""
    specs = [
        str((encoder.architecture.spec(), encoder.source, encoder.transform, encoder.precision, encoder.autocast))
        for encoder in DECLARED
    ]
    assert len(specs) == len(set(specs))


@pytest.mark.parametrize("encoder", WITH_OUTPUTS, ids=lambda encoder: encoder.name)
def test_each_output_is_an_encoder_by_its_name_and_by_its_word(encoder: PatchEncoder):
    words = [encoder.output, *(output.word for output in encoder.outputs)]
    names = [encoder.name, *(output.name for output in encoder.outputs)]
    assert all(words)
    assert len(set(words)) == len(words)
    for of in (encoder, *(PATCH_ENCODERS[name] for name in names)):
        assert [find_patch_encoder(f"{of.name}:{word}").name for word in words] == names
    with pytest.raises(UnknownName, match=re.escape(f"{encoder.name} has no output tokens; it has {', '.join(words)}")):
        find_patch_encoder(f"{encoder.name}:tokens")


@pytest.mark.parametrize("encoder", WITH_OUTPUTS, ids=lambda encoder: encoder.name)
def test_an_output_differs_from_its_encoder_by_name_and_pooling_alone(encoder: PatchEncoder):
    for output in encoder.outputs:
        spec = PATCH_ENCODERS[output.name].spec()
        assert spec["pooling"] != encoder.spec()["pooling"]
        assert {**spec, "encoder": 0, "pooling": 0} == {**encoder.spec(), "encoder": 0, "pooling": 0}


def test_names_of_outputs_go_wherever_a_patch_encoder_is_named():
    assert find_slide_encoder("mean-virchow2:class").patch_encoder == "virchow_v2_cls"
    assert find_patch_encoder("Virchow2_CLS").dim == 1280
    with pytest.raises(UnknownName, match="uni_v1 has no output class; it has one alone"):
        find_patch_encoder("uni_v1:class")


def test_weights_of_a_network_are_those_of_all_its_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "virchow_v2.pt").touch()
    (tmp_path / "own.pt").touch()
    given = {"virchow_v2": tmp_path / "virchow_v2.pt"}
    assert find_patch_encoder("virchow2_cls", given).source == LocalWeights(tmp_path / "virchow_v2.pt")
    both = {**given, "virchow_v2_cls": tmp_path / "own.pt"}
    assert find_patch_encoder("virchow2_cls", both).source == LocalWeights(tmp_path / "own.pt")
    monkeypatch.setenv("ATLASPATCH_WEIGHTS", str(tmp_path))
    assert find_patch_encoder("virchow2:class").source == LocalWeights(tmp_path / "virchow_v2.pt")


def test_consent_to_the_code_of_a_network_is_consent_for_all_its_outputs():
    output = Output(word="class", name="a_cls", dim=4, pooling=class_token)
    remote = replace(PATCH_ENCODERS["hibou_b"], name="a", output="class+mean", outputs=(output,))
    [_, of_class] = remote.each_output()
    project = make_project({"allow_remote_code": ["A"]}, origin="test")
    allowed = permitted(of_class, project).architecture
    assert isinstance(allowed, RemoteModel)
    assert allowed.allowed


def small_vit(source: LocalWeights) -> PatchEncoder:
    return PatchEncoder(
        name="small",
        architecture=TimmModel("vit_tiny_patch16_224", {"img_size": 32, "depth": 1, "global_pool": ""}),
        source=source,
        dim=384,
        transform=Transform(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3),
        pooling=ClassAndMean(first=1),
        output="class+mean",
        outputs=(Output(word="class", name="small_cls", dim=192, pooling=class_token),),
        license="none",
    )


def test_the_class_token_of_a_loaded_network_is_the_first_half_of_both(tmp_path: Path):
    torch.manual_seed(3)
    network = TimmModel("vit_tiny_patch16_224", {"img_size": 32, "depth": 1, "global_pool": ""}).build(None)
    torch.save(network.state_dict(), tmp_path / "small.pt")
    both, of_class = small_vit(LocalWeights(tmp_path / "small.pt")).each_output()
    patches = np.random.default_rng(1).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    features = load_patch_encoder(both).encode(patches)
    np.testing.assert_array_equal(load_patch_encoder(of_class).encode(patches), features[:, :192])
