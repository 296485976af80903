"""``atlaspatch weights fetch``: weights in one folder, which runs find without a network."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hub_server import Hub, digest, serve_hub
from project_files import project_text

from atlaspatch_core.cli.main import cli
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.errors import MissingWeights
from atlaspatch_core.operations.fetching import weights_in

GATED, OPEN = "uni_v1", "phikon_v1"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that has one file for whatever repository is asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "ours"))
    for name in ("HF_HUB_OFFLINE", "ATLASPATCH_OFFLINE", "ATLASPATCH_WEIGHTS", "HF_TOKEN", "HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    with serve_hub() as (hub, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        hub.files |= dict.fromkeys(source_of(GATED).files or (), b"weights of somebody")
        yield hub


def source_of(name: str) -> HubWeights:
    source = find_patch_encoder(name).source
    assert isinstance(source, HubWeights)
    return source


def fetch(*words: str) -> Result:
    return CliRunner().invoke(cli, ["weights", "fetch", *words])


def test_weights_are_fetched_once_to_one_folder_and_found_offline(hub: Hub, tmp_path: Path, monkeypatch):
    first = fetch(GATED, "--to", "weights")
    asked = len(hub.asked)
    second = fetch(GATED, "--to", "weights")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert len(hub.asked) == asked > 0
    assert f"export HF_HUB_CACHE={tmp_path}/weights/hub TORCH_HOME={tmp_path}/weights/torch HF_HUB_OFFLINE=1" in (
        first.output
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with weights_in(tmp_path / "weights"):
        path = source_of(GATED).find(GATED)
        assert path.is_relative_to(tmp_path / "weights" / "hub")
        assert digest(path.read_bytes()) == digest(b"weights of somebody")
    assert "HF_HUB_CACHE" not in os.environ
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(MissingWeights):
        source_of(GATED).find(GATED)


def test_a_gated_one_is_one_sentence_and_the_others_are_fetched(hub: Hub):
    hub.refusal = "GatedRepo"

    result = fetch(GATED, "efficientnet_lite0", "--to", "weights")

    assert result.exit_code == 1
    (sentence,) = [line for line in result.output.splitlines() if "access is refused" in line]
    assert f"ask for access at https://huggingface.co/{source_of(GATED).repository}" in sentence
    assert "efficientnet_lite0: " in result.output
    assert "The weights of 1 network could not be had." in result.output


@pytest.mark.quick
def test_without_names_the_weights_of_the_project_are_fetched(tmp_path: Path):
    encoders = 'patch_encoders = ["efficientnet_lite0"]\nslide_encoders = ["mean-efficientnet_lite0"]'
    (tmp_path / "atlaspatch.toml").write_text(project_text(geometry=encoders))

    result = fetch()

    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.splitlines() if line.startswith("efficientnet_lite0: /")]


@pytest.mark.quick
def test_an_encoder_of_slides_brings_that_of_its_patches():
    result = fetch("mean-efficientnet_lite0")

    assert result.exit_code == 0, result.output
    assert "efficientnet_lite0: /" in result.stdout


@pytest.mark.quick
def test_an_unknown_name_is_wrong_usage_with_names_that_are_near():
    result = fetch("efficientnet_lite")

    assert result.exit_code == 2
    assert "near names: efficientnet_lite" in result.output
