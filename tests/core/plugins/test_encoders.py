"""Modules of torch that plugin files declare: encoded, embedded, stale when a file or a weight changes."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from extensions import encode_with, states, write_extension
from tracked_folders import paint

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli

WEIGHTED = (
    (
        "def forward",
        "def __init__(self):\n        super().__init__()\n        self.layer = torch.nn.Linear(6, 6)\n    def forward",
    ),
    ("return torch.cat", "return self.layer(torch.cat"),
    ("dim=1)", "dim=1))"),
)


def encode(folder: Path, *words: str) -> str:
    """Return what encoding with the module ``contrast`` and embedding with ``spread`` says."""
    named = ["--plugin", str(folder / "spread.py"), "--slide-encoders", "spread"]
    result = encode_with(folder / "contrast.py", folder, *named, *words)
    assert result.exit_code == 0, result.output
    return result.output


def test_modules_of_plugins_encode_and_embed_and_a_changed_file_makes_them_stale(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    write_extension(tmp_path, "contrast.py")
    write_extension(tmp_path, "spread.py")
    assert "1 computed" in encode(tmp_path)
    assert "1 reused" in encode(tmp_path)
    results = ap.results(tmp_path / "out")
    features = results.features("a", "contrast")
    assert features.shape[1] == 6
    assert results.embedding("a", "spread") == pytest.approx(features.std(axis=0), abs=1e-5)

    write_extension(tmp_path, "contrast.py", ("(b, 6)", "(b, 6): means, deviations"))
    assert states(tmp_path, "patch_features/contrast") == {"a": "stale"}
    assert states(tmp_path, "patch_features/tiny") == states(tmp_path, "patch_coords") == {"a": "fresh"}


def test_drawn_weights_are_the_same_in_each_run_and_others_are_another_encoder(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    write_extension(tmp_path, "contrast.py", *WEIGHTED)
    write_extension(tmp_path, "spread.py")
    encode(tmp_path)
    assert "1 reused" in encode(tmp_path)
    before = ap.results(tmp_path / "out").features("a", "contrast")

    trained = tmp_path / "trained.pt"
    torch.save({"layer.weight": torch.zeros(6, 6), "layer.bias": torch.arange(6.0)}, trained)
    assert "1 computed" in encode(tmp_path, "--patch-encoder-ckpt-path", f"contrast={trained}")
    after = ap.results(tmp_path / "out").features("a", "contrast")
    assert not (before == after).all()
    assert after == pytest.approx(torch.arange(6.0).expand(len(after), -1).numpy())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("dim=1)  #", "dim=1)[0]  #", "contrast: gives an array of shape (6,), not (patches, dim)"),
        ("dim=6", "dim=7", "contrast: the network gives 6 features, declared are 7"),
        ("dim=1)  #", "dim=1) / 0  #", "contrast: gave NaN or infinite features in float32; look into its weights"),
        (
            "pixels.mean((2, 3))",
            "pixels.mean((2, 9))",
            "contrast: fails on pixels of shape (1, 3, 224, 224): IndexError",
        ),
    ],
)
def test_a_module_that_gives_what_it_may_not_is_named_in_one_sentence(
    tmp_path: Path, before: str, after: str, said: str
):
    paint(tmp_path / "slides", "a")
    plugin = write_extension(tmp_path, "contrast.py", (before, after))
    result = encode_with(plugin, tmp_path, "--patch-encoders", "contrast")
    assert said in " ".join(result.output.split())


@pytest.mark.e2e
def test_a_module_itself_gives_what_its_class_gives(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    features = []
    for made in ("Contrast", "Contrast()"):
        plugin = write_extension(tmp_path, "contrast.py", ("Contrast, dim", f"{made}, dim"))
        assert "1 computed" in encode_with(plugin, tmp_path, "--patch-encoders", "contrast").output
        features.append(ap.results(tmp_path / "out").features("a", "contrast"))
    assert (features[0] == features[1]).all()


def test_encoders_lists_modules_without_making_them(tmp_path: Path):
    plugin = write_extension(tmp_path, "contrast.py", ("def forward", "def __init__(self): 1 / 0\n\n    def forward"))
    result = CliRunner().invoke(cli, ["encoders", "--wide", "--feature-plugin", str(plugin)])
    assert result.exit_code == 0
    assert next(line for line in result.output.splitlines() if line.startswith("contrast ")).split()[1:3] == [
        "patch",
        "6",
    ]
