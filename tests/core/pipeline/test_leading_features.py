"""A class token that lies there beside a mean is not computed again: it is cut off, and the network runs once."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from rounds import examples

from atlaspatch_core.cli.main import cli
from atlaspatch_core.encoders.architecture import TimmModel

PLUGIN = """
from pathlib import Path

import torch
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import Output, PatchEncoder, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.weights import BuiltIn


class Tokens(torch.nn.Module):
    def forward(self, pixels):
        with (Path(__file__).parent / "patches.txt").open("a") as file:
            file.write(str(len(pixels)) + "\\n")
        colour = pixels.mean((2, 3))
        return torch.stack([colour, colour + 1, colour * 2], 1)


@named("whole")
def whole(network, pixels):
    tokens = network(pixels)
    return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], -1)


@named("first")
def first(network, pixels):
    return network(pixels)[:, 0]


PATCH_ENCODERS = [
    PatchEncoder(
        name="tokens",
        architecture=Built(Tokens),
        source=BuiltIn(),
        dim=6,
        transform=Transform(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3),
        pooling=whole,
        output="class+mean",
        outputs=(Output(word="class", name="tokens_cls", dim=3, pooling=first, leads=LEADS),),
        license="none",
    )
]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    stained = stain(white(1024, 1024), 100, 100, 700, 700)
    stained[300:500, 200:600] = np.random.default_rng(1).integers(80, 200, (200, 400, 3))
    paint_slide(tmp_path / "a.svs", stained)
    path = tmp_path / "tokens.py"
    path.write_text(f"# {tmp_path}: a network of its own\n" + PLUGIN.replace("LEADS", "True"))
    return path


def encode(plugin: Path, encoders: str, out: str = "out", *words: str) -> dict[str, dict]:
    """Return what became of the features, by encoder."""
    (plugin.parent / "patches.txt").write_text("")
    options = ["--patch-size", "128", "--target-mag", "20", "--patch-encoders", encoders, "--plugin", str(plugin)]
    given = ["encode-slide", str(plugin.parent / "a.svs"), "-o", str(plugin.parent / out), "--json", *options, *words]
    done = CliRunner().invoke(cli, given)
    assert done.exit_code == 0, done.output
    steps = json.loads(done.stdout)["slides"][0]["outputs"]
    return {step["output"].partition("/")[2]: step for step in steps if step["output"].startswith("patch_features/")}


def seen_patches(plugin: Path) -> int:
    """Return how many patches the network saw in the last run, less those by which it was asked for its dim."""
    return sum(int(line) for line in (plugin.parent / "patches.txt").read_text().split() if int(line) > 4)


def features(plugin: Path, out: str = "out") -> dict[str, tuple[np.ndarray, str]]:
    [path] = (plugin.parent / out).rglob("a.h5")
    with h5py.File(path) as file:
        return {name: (item[()], item.attrs["fingerprint"]) for name, item in list(file["features"].items())}


def test_outputs_that_are_asked_for_together_run_their_network_once(plugin: Path):
    encode(plugin, "tokens_cls,tokens")
    both = features(plugin)
    rows = len(both["tokens"][0])
    assert rows > 8
    assert seen_patches(plugin) == rows
    encode(plugin, "tokens_cls", "alone")
    alone = features(plugin, "alone")
    assert seen_patches(plugin) == rows
    np.testing.assert_array_equal(both["tokens_cls"][0], alone["tokens_cls"][0])
    np.testing.assert_array_equal(both["tokens"][0][:, :3], alone["tokens_cls"][0])
    assert both["tokens_cls"][1] == alone["tokens_cls"][1]
    assert encode(plugin, "tokens,tokens_cls")["tokens_cls"]["status"] == "reused"


def test_features_that_lie_there_are_cut_and_no_patch_is_read(plugin: Path):
    encode(plugin, "tokens")
    assert encode(plugin, "tokens_cls")["tokens_cls"]["status"] == "computed"
    assert seen_patches(plugin) == 0
    values = features(plugin)
    np.testing.assert_array_equal(values["tokens"][0][:, :3], values["tokens_cls"][0])
    assert encode(plugin, "tokens_cls")["tokens_cls"]["status"] == "reused"


def test_stale_features_are_not_cut(plugin: Path):
    encode(plugin, "tokens")
    plugin.write_text(plugin.read_text() + "# changed\n")
    encode(plugin, "tokens_cls")
    assert seen_patches(plugin) == len(features(plugin)["tokens_cls"][0])


def test_damaged_features_are_not_cut(plugin: Path):
    encode(plugin, "tokens")
    [path] = (plugin.parent / "out").rglob("a.h5")
    with h5py.File(path, "r+") as file:
        file["features/tokens"][3, 1] += 1
    encode(plugin, "tokens_cls")
    assert seen_patches(plugin) == len(features(plugin)["tokens_cls"][0])


def test_force_computes_whatever_lies_there(plugin: Path):
    encode(plugin, "tokens")
    encode(plugin, "tokens_cls", "out", "--force")
    assert seen_patches(plugin) == len(features(plugin)["tokens_cls"][0])


def test_an_output_that_does_not_lead_has_a_run_of_its_own(plugin: Path):
    plugin.write_text(plugin.read_text().replace("leads=True", "leads=False"))
    encode(plugin, "tokens,tokens_cls")
    assert seen_patches(plugin) == 2 * len(features(plugin)["tokens"][0])


OF_WEIGHTS = """
from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Output, PatchEncoder, Transform
from atlaspatch_core.encoders.pooling import ClassAndMean, class_token
from atlaspatch_core.encoders.weights import NotGiven

PATCH_ENCODERS = [
    PatchEncoder(
        name="tokens",
        architecture=TimmModel("vit_tiny_patch16_224", {"img_size": 32, "depth": 1, "global_pool": ""}),
        source=NotGiven("give them"),
        dim=384,
        transform=Transform(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3),
        pooling=ClassAndMean(first=1),
        output="class+mean",
        outputs=(Output(word="class", name="tokens_cls", dim=192, pooling=class_token, leads=True),),
        license="none",
    )
]
"""


@pytest.fixture
def of_weights(plugin: Path) -> dict[str, np.ndarray]:
    """Two files of weights, ``a.pt`` and ``b.pt`` beside the plugin, to what the network of each gives."""
    plugin.write_text(OF_WEIGHTS)
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        network = TimmModel("vit_tiny_patch16_224", {"img_size": 32, "depth": 1, "global_pool": ""}).build(None)
        torch.save(network.state_dict(), plugin.parent / f"{name}.pt")
        encode(plugin, "tokens", name, *given_weights(plugin, {"tokens": name}))
    return {name: features(plugin, name)["tokens"][0] for name in "ab"}


def given_weights(plugin: Path, names: dict[str, str | None]) -> list[str]:
    files = [f"{encoder}={plugin.parent / name}.pt" for encoder, name in names.items() if name]
    return [word for file in files for word in ("--patch-encoder-ckpt-path", file)]


@examples(8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    network=st.sampled_from("ab"),
    own=st.sampled_from([None, "a", "b"]),
    asked=st.sampled_from(["tokens,tokens_cls", "tokens_cls,tokens", "tokens_cls"]),
)
@example("a", "b", "tokens,tokens_cls")
@example("b", "a", "tokens_cls,tokens")
def test_an_output_is_of_its_own_weights_or_else_of_its_network_s(
    plugin: Path, of_weights: dict[str, np.ndarray], network: str, own: str | None, asked: str
):
    """In one folder, whatever lies there. It had the numbers of the other weights under the fingerprint of its own."""
    encode(plugin, asked, "out", *given_weights(plugin, {"tokens": network, "tokens_cls": own}))
    values = features(plugin)
    np.testing.assert_array_equal(values["tokens_cls"][0], of_weights[own or network][:, :192])
    if asked != "tokens_cls":
        np.testing.assert_array_equal(values["tokens"][0], of_weights[network])
