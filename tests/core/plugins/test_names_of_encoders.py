"""An encoder of a plugin is found by every name that its file gives it, also where the file is not executed."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plugins import plugin_file
from tracked_folders import PLUGIN_HEAD, paint, runs_of

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli

PLUGIN = f"""{PLUGIN_HEAD}
from atlaspatch_core.encoders.declaration import Output


def first_two(network, pixels):
    return network(pixels)[:, :2]


def mean_of_slide(network, features, coords, patch_size_level0):
    return features.mean(axis=0)


OUTPUT = Output(word="class", name="plu_cls", dim=2, pooling=first_two, aliases=("plucls",))
PATCH_ENCODERS = [
    PatchEncoder(
        name="plu", architecture=Built(mean_colour), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0",
        aliases=("pluall",), output="all", outputs=(OUTPUT,),
    )
]
SLIDE_ENCODERS = [
    SlideEncoder(
        name="slu", patch_encoder="plu_cls", dim=2, forward=mean_of_slide, license="CC0-1.0", aliases=("sluslu",)
    )
]
"""
NAMES = ("plu_cls", "plucls", "plu:class", "PLU:Class", "pluall:class", "PluCls", "plucls:class")
"""Each is the class token of the plugin."""
PATCH, SLIDE = ("--patch-encoders",), ("--slide-encoders",)
TOML = """
output = "out"
plugins = [{plugin}]
[slides]
folders = ["slides"]
[runtime]
device = "cpu"
[[geometry]]
patch_size = 256
target_mag = 20
precision = "float32"
patch_encoders = {patch}
slide_encoders = {slide}
"""
LOOKS: dict[str, tuple[str, ...]] = {
    "status": ("status", "--json"),
    "estimate": ("estimate", "--json"),
    "report": ("report", "--to", "page.html"),
    "audit": ("audit", "out"),
}


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def encode(folder: Path, *encoders: str) -> Result:
    slides, plugin = str(folder / "slides"), str(plugin_file(PLUGIN))
    how = ("--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--feature-precision", "float32")
    return run("encode-slide", slides, *how, "--plugin", plugin, "--output", str(folder / "out"), *encoders)


def write_project(folder: Path, *, patch: list[str], slide: list[str]) -> None:
    values = {"plugin": json.dumps(str(plugin_file(PLUGIN))), "patch": json.dumps(patch), "slide": json.dumps(slide)}
    (folder / "atlaspatch.toml").write_text(TOML.format(**values))


def steps_of(folder: Path, project: str = "") -> dict[str, str]:
    """Return output to state, as ``status`` tells it."""
    result = run("status", "--json", *(("--project", project) if project else (str(folder / "out"),)))
    assert result.exit_code == 0, result.output
    return {told["output"]: told["state"] for told in json.loads(result.stdout)}


def take_notes_away(folder: Path, typed: str = "", canonical: str = "plu_cls") -> None:
    """Have a folder be as it was before names were noted; ``typed`` is what its runs recorded."""
    shutil.rmtree(folder / "out" / ".plugins")
    for path in (folder / "out" / "runs").glob("*.json") if typed else ():
        path.write_text(path.read_text().replace(f'"{canonical}"', f'"{typed}"'))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that the plugin makes, by canonical names."""
    folder = tmp_path_factory.mktemp("made")
    paint(folder / "slides", "a")
    result = encode(folder, *PATCH, "plu_cls", *SLIDE, "mean-plu_cls,slu")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("name", NAMES)
def test_a_run_records_the_name_of_the_encoder_whatever_was_typed(copied: Path, name: str):
    expected = steps_of(copied)
    result = encode(copied, *PATCH, name, *SLIDE, f"mean-{name},sluslu")
    assert result.exit_code == 0, result.output
    assert "0 computed, 1 reused" in result.output
    [*_, recorded] = runs_of(copied / "out")
    [geometry] = recorded["project"]["geometry"]
    assert (geometry["patch_encoders"], geometry["slide_encoders"]) == (["plu_cls"], ["mean-plu_cls", "slu"])
    assert steps_of(copied) == expected
    assert set(expected.values()) == {"fresh"}


@pytest.mark.parametrize("name", NAMES)
def test_who_only_looks_at_a_project_agrees_with_the_canonical_name(
    copied: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(copied)
    told = []
    for word, of_slides in (("plu_cls", "slu"), (name, "SluSlu")):
        write_project(copied, patch=[word], slide=[f"mean-{word}", f"MEAN-{word}", of_slides])
        looks = {look: run(*words, "--project", "atlaspatch.toml") for look, words in LOOKS.items()}
        results = ap.results("out")
        told.append(
            [steps_of(copied, "atlaspatch.toml"), results.states().to_dict("records")]
            + [(look, result.exit_code) for look, result in looks.items()]
        )
    assert told[0] == told[1]
    assert set(told[0][0].values()) == {"fresh"}
    assert {code for _, code in told[0][2:]} == {0}


@pytest.mark.parametrize("name", ["plucls", "plu:class", "PLU:class"])
def test_before_a_first_run_all_of_it_is_missing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "slides", "a")
    write_project(tmp_path, patch=[name], slide=[f"mean-{name}", "sluslu"])
    states = steps_of(tmp_path, "atlaspatch.toml")
    assert set(states.values()) == {"missing"}
    assert len(states) == 6
    assert run("estimate", "--project", "atlaspatch.toml").exit_code == 0


def test_an_output_that_a_noted_network_lacks_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(copied)
    write_project(copied, patch=["plu:clas"], slide=[])
    result = run("status", "--project", "atlaspatch.toml")
    assert result.exit_code == 2
    assert "plu has no output clas; it has all, class" in result.output


@pytest.mark.parametrize("name", ["plucls", "plu:class"])
def test_a_folder_of_before_says_what_is_not_known_and_one_more_run_mends_it(copied: Path, name: str):
    take_notes_away(copied, typed=name)
    features = (copied / "out" / "patches" / "a.h5").read_bytes()
    shown = run("status", str(copied / "out"))
    assert shown.exit_code == 0
    assert f"{name}: it is not noted which encoder of the plugins is called so; run it once more" in shown.output
    assert "missing" not in shown.output
    assert encode(copied, *PATCH, name).exit_code == 0
    assert set(steps_of(copied).values()) == {"fresh"}
    assert (copied / "out" / "patches" / "a.h5").read_bytes() == features


def test_a_folder_of_before_by_canonical_names_is_read_as_before(copied: Path):
    expected = steps_of(copied)
    take_notes_away(copied)
    assert steps_of(copied) == expected


def test_notes_that_are_damaged_are_none(copied: Path):
    expected = steps_of(copied)
    for path in (copied / "out" / ".plugins").iterdir():
        for text in ("[", "3", '[{"name": "a:b", "aliases": []}]', '{"name": 3}', '[{"name": "plu_cls"}]'):
            path.write_text(text)
            assert steps_of(copied) == expected
