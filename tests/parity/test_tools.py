"""``make parity``: what two folders of results differ in, and how tools that are not at hand would be driven."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from foreign_folders import clam_coords, clam_features, lattice, random_features

from atlaspatch_core.cli.main import cli
from parity import clam, trident
from parity.__main__ import main
from parity.cases import BASE, Case
from parity.comparison import changed_files, compare_folders, contents
from parity.running import PLUGIN
from parity.tool import REUSED, compare, write_table

CASE: Case = {
    **BASE, "name": "a small one", "encoder": "seeded", "size": [1504, 1048], "mask": [65, 94],
    "rects": [[10, 5, 84, 60, 1]], "target_mag": 10, "patch_size": 128, "overlap": 32,
}  # fmt: skip
PLACES = trident.places(CASE)
OPTIONS_OF_TRIDENT = frozenset({
    "--gpus", "--job_dir", "--mag", "--max_workers", "--min_tissue_proportion", "--overlap", "--patch_encoder",
    "--patch_encoder_ckpt_path", "--patch_size", "--segmenter", "--task", "--wsi_dir",
})  # fmt: skip


def run_ours(words) -> str:
    """Run ours in this process, with the encoder that both have."""
    plugin = ["--feature-plugin", PLUGIN] if words[0] != "export" else []
    result = CliRunner().invoke(cli, [str(word) for word in (*words, *plugin)])
    assert result.exit_code == 0, result.output
    return result.output


def remove_ours(job: Path) -> None:
    """Leave what TRIDENT would have written."""
    for path in sorted(job.rglob("*"), reverse=True):
        names = path.relative_to(job).parts
        is_ours = names[0].startswith(".") or names[0] == "slides" or "small" in names or path.name == "a.png"
        is_ours |= path == job / PLACES.coords.file.replace("_patches", "")
        if is_ours and path.is_file():
            path.unlink()


@pytest.fixture(scope="module")
def of_trident(tmp_path_factory: pytest.TempPathFactory):
    """Return the row of a case for which ours stands in for TRIDENT, its folder, and the words TRIDENT was given."""
    words_of_trident: list[list[str]] = []

    def stand_in(words) -> str:
        words_of_trident.append([str(word) for word in words])
        if "all" not in words:
            run_ours(["run", *words, "--scale", "nominal", "--layout", "trident"])
            remove_ours(words[words.index("--job_dir") + 1])
        return ""

    folder = tmp_path_factory.mktemp("parity") / "case"
    row = compare(trident.make_tool(stand_in, run_ours, "0"), CASE, folder)
    return row, folder, words_of_trident


def test_trident_and_ours_are_run_on_the_same_and_on_each_others(of_trident):
    row, _, _ = of_trident
    assert row.is_same
    assert row.comparison.rows == len(row.case["coords"]) > 20
    assert (row.comparison.difference, row.theirs_on_ours, row.ours_on_theirs) == (0, REUSED, REUSED)


def test_trident_is_asked_for_coords_then_features_by_its_own_options(of_trident):
    _, folder, words = of_trident
    assert [line[line.index("--task") + 1] for line in words] == ["coords", "feat", "all"]
    assert [line[line.index("--job_dir") + 1] for line in words] == [
        str(folder / n) for n in ("theirs", "theirs", "ours")
    ]
    assert {word for line in words for word in line if word.startswith("--")} <= OPTIONS_OF_TRIDENT
    seeded = trident.shared_words({**CASE, **trident.CASES[0]}, folder, folder, "feat")
    assert {word for word in seeded if str(word).startswith("--")} == OPTIONS_OF_TRIDENT


def move_a_patch(file: h5py.File):
    file["coords"][3, 0] += 1  # pyright: ignore


def swap_two_patches(file: h5py.File):
    file["coords"][:2] = file["coords"][:2][::-1]  # pyright: ignore[reportIndexIssue]


def change_a_feature(file: h5py.File):
    file["features"][5, 2] += 0.25  # pyright: ignore


def change_an_attribute(file: h5py.File):
    file["coords"].attrs["overlap"] = 7


def drop_an_attribute(file: h5py.File):
    del file["coords"].attrs["patch_size"]


def narrow_coords(file: h5py.File):
    coords, attributes = file["coords"][()].astype(np.int32), dict(file["coords"].attrs)  # pyright: ignore
    del file["coords"]
    file.create_dataset("coords", data=coords).attrs.update(attributes)


@pytest.mark.parametrize(
    ("place", "change", "difference", "layout"),
    [
        pytest.param(PLACES.coords, move_a_patch, None, "", id="a coordinate"),
        pytest.param(PLACES.coords, swap_two_patches, None, "", id="the order"),
        pytest.param(PLACES.features, change_a_feature, 0.25, "", id="a feature"),
        pytest.param(PLACES.coords, change_an_attribute, 0, "other coords.overlap", id="an attribute"),
        pytest.param(PLACES.coords, drop_an_attribute, 0, "no coords.patch_size", id="no attribute"),
        pytest.param(PLACES.coords, narrow_coords, 0, "coords is int32, not int64", id="a dtype"),
    ],
)
def test_what_differs_is_named(of_trident, place, change, difference, layout, tmp_path: Path):
    _, folder, _ = of_trident
    for name in ("theirs", "ours"):
        shutil.copytree(folder / "ours", tmp_path / name)
    before = contents(tmp_path / "ours")
    with h5py.File(tmp_path / "ours" / place.file, "r+") as file:
        change(file)
    comparison = compare_folders(tmp_path / "theirs", tmp_path / "ours", PLACES)
    assert comparison.same_rows == (difference is not None)
    assert comparison.difference == pytest.approx(np.nan if difference is None else difference, abs=1e-6, nan_ok=True)
    assert comparison.layout == ((f"{place.file}: {layout}",) if layout else ())
    assert changed_files(before, contents(tmp_path / "ours")) == [place.file]


def test_files_that_ours_lacks_are_named(of_trident, tmp_path: Path):
    _, folder, _ = of_trident
    shutil.copytree(folder / "ours", tmp_path / "ours")
    (tmp_path / "ours" / "thumbnails" / "a.jpg").unlink()
    (tmp_path / "ours" / "summary.md").unlink()
    assert compare_folders(folder / "ours", tmp_path / "ours", PLACES).layout == ("no thumbnails/a.jpg",)


def test_ours_takes_the_coords_of_clam_and_says_where_features_differ(tmp_path: Path):
    """What stands in for CLAM lays nine patches, and computes features that are not ours."""
    programs: list[str] = []

    def stand_in(words) -> str:
        programs.append(words[0])
        if words[0] == clam.CREATE and not (out := Path(words[words.index("--save_dir") + 1])).exists():
            clam_coords(out, "a", lattice((256, 256, 1024, 1024)))
        if words[0] == clam.EXTRACT and not (out := Path(words[words.index("--feat_dir") + 1])).exists():
            clam_features(out, "a", lattice((256, 256, 1024, 1024)), random_features(9, 16))
        return ""

    case = {**CASE, "target_mag": 20, "patch_size": 256}
    row = compare(clam.make_tool(stand_in, run_ours, "0"), case, tmp_path / "case")
    assert programs == [clam.CREATE, clam.EXTRACT] * 2
    assert row.comparison.same_rows
    assert row.case["coords"] == lattice((256, 256, 1024, 1024)).tolist()
    assert row.comparison.difference > 0.5
    assert (row.theirs_on_ours, row.ours_on_theirs, row.is_same) == (REUSED, "**unverified**", False)


@pytest.mark.parametrize(("tool", "program"), [("trident", trident.PROGRAM), ("clam", clam.CREATE)])
def test_a_folder_that_is_no_checkout_gets_one_sentence(tool, program, tmp_path: Path, capsys):
    assert main([f"--{tool}", str(tmp_path)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}: no checkout of {tool.upper()}")
    assert program in line


def test_a_table_takes_the_place_of_the_last_one_of_its_tool_alone(of_trident, tmp_path: Path):
    row, _, _ = of_trident
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n<!-- CLAM -->\nnot run\n<!-- end of CLAM -->\n<!-- TRIDENT -->\nnot run\n<!-- end of TRIDENT -->\nz\n"
    )
    other = row._replace(ours_on_theirs="**other coords**")
    for rows in ([row, row], [row, other]):
        write_table(page, trident.make_tool(run_ours, run_ours, "v1"), rows)
    text = page.read_text()
    assert text.startswith(
        "# A\n<!-- CLAM -->\nnot run\n<!-- end of CLAM -->\n<!-- TRIDENT -->\nTRIDENT v1:\n\n| painted slide |"
    )
    assert text.endswith("\n<!-- end of TRIDENT -->\nz\n")
    assert len(re.findall(r"^\| a small one \|", text, re.MULTILINE)) == 2
    assert text.count("**other coords**") == 1
