"""Overlays take the place of earlier overlays, and of nothing else: no slide, no result, no other picture."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from exporting import make, recipe_of
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.interop.scores.fields import FORMATS
from atlaspatch_core.interop.scores.places import OverlayFile

NAMES = {"a": "a.svs", "a_patches": "a_patches.svs", "b": "b.ome.tif"}
SUFFIXES = dict(zip(FORMATS, (".png", ".ome.tif", ".geojson", "_patches.png"), strict=True))


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Results of three slides, one of which is a TIFF as overlays are, and a table of scores beside them."""
    folder, pixels = tmp_path_factory.mktemp("lab"), white(768, 512)
    stain(pixels, 128, 128, 512, 256, (200, 80, 120))
    sources = [SlideSource(stem, paint_slide(folder / name, pixels, mpp=0.5)) for stem, name in NAMES.items()]
    geometry = {"patch_size": 64, "target_mag": 20, "patch_encoders": [], "slide_encoders": []}
    make(recipe_of(folder, geometry=geometry), sources)
    places = {stem: ap.results(folder / "out").coords(stem).T for stem in NAMES}
    tables = [pd.DataFrame({"stem": stem, "x": x, "y": y, "p": np.arange(len(x))}) for stem, (x, y) in places.items()]
    pd.concat(tables).to_csv(folder / "s.csv", index=False)
    return folder / "out"


def overlay(out: Path, *words: object):
    told = ["overlay", out, *words, "--scores", out.parent / "s.csv", "--longest", 64]
    return CliRunner().invoke(cli, [*map(str, told)])


def contents(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def of_form(*forms: str) -> list[str]:
    return [word for form in forms for word in ("--format", form)]


@pytest.mark.parametrize("by_link", [False, True])
def test_a_slide_is_never_replaced(out, tmp_path, by_link):
    to = tmp_path / "link" if by_link else out.parent
    if by_link:
        to.symlink_to(out.parent)
    before = contents(out.parent)
    said = overlay(out, "b", "--to", to, *of_form("ome-tiff"))
    assert (said.exit_code, "b.ome.tif is the slide itself" in said.output) == (1, True), said.output
    assert contents(out.parent) == before


def test_a_slide_that_overlay_itself_drew_is_a_slide_too(out, tmp_path):
    assert overlay(out, "b", "--to", tmp_path, *of_form("ome-tiff")).exit_code == 0
    slide, drawn = out.parent / "b.ome.tif", (tmp_path / "b.ome.tif").read_bytes()
    (tmp_path / "b.ome.tif").unlink()
    (tmp_path / "b.ome.tif").symlink_to(slide)
    said = overlay(out, "b", "--to", tmp_path, *of_form("ome-tiff"))
    assert (said.exit_code, "is the slide itself" in said.output) == (1, True), said.output
    assert slide.read_bytes() != drawn


@pytest.mark.parametrize("below", ["", "contours_geojson", "patches", "slides", "new", "x/../slides", "overlays/.."])
def test_among_results_there_is_no_place_for_overlays(out, below):
    before = contents(out)
    said = overlay(out, "a", "--to", out / below, *of_form("geojson"))
    assert (said.exit_code, "it lies in the output folder" in said.output) == (2, True), said.output
    assert contents(out) == before


def test_the_folder_of_overlays_may_lie_there(out, monkeypatch):
    monkeypatch.chdir(out)
    said = overlay(out, "a", *of_form(*FORMATS))
    written = {path.name for path in (out / "overlays").iterdir()}
    shutil.rmtree(out / "overlays")
    assert (said.exit_code, written) == (0, {f"a{suffix}" for suffix in SUFFIXES.values()}), said.output


@given(form=st.sampled_from(FORMATS), is_folder=st.booleans())
@examples(16)
def test_a_file_that_no_overlay_is_stays_and_an_earlier_overlay_is_replaced(out, tmp_path_factory, form, is_folder):
    to = tmp_path_factory.mktemp("to")
    path = to / f"a{SUFFIXES[form]}"
    if is_folder:
        path.mkdir()
    else:
        path.write_bytes(b"of somebody else")
    before = contents(to)
    said = overlay(out, "a", "--to", to, *of_form(*FORMATS))
    assert (said.exit_code, f"{path.name} is there and is no {form}" in said.output) == (1, True), said.output
    assert contents(to) == before, "not one form is written"
    path.rmdir() if is_folder else path.unlink()
    for _ in range(2):
        said = overlay(out, "a", "--to", to, *of_form(*FORMATS))
        assert said.exit_code == 0, said.output


@pytest.mark.parametrize("stems", [["a", "a_patches"], ["a_patches", "a"]])
def test_two_slides_do_not_replace_pictures_of_each_other(out, tmp_path, stems):
    said = overlay(out, *stems, "--to", tmp_path, *of_form("png", "sheet"))
    assert (said.exit_code, "a_patches.png is there and is no " in said.output) == (1, True), said.output
    first = contents(tmp_path)
    assert {path.name for path in first} == {f"{stems[0]}.png", f"{stems[0]}_patches.png"}
    assert overlay(out, stems[1], "--to", tmp_path / "apart", *of_form("png", "sheet")).exit_code == 0


@pytest.mark.parametrize("to", ["/proc/xyz", "/dev/full", "{file}", "{file}/below"])
def test_a_folder_that_cannot_be_made_is_one_sentence(out, tmp_path, to):
    (tmp_path / "file").write_text("")
    said = overlay(out, "--to", to.format(file=tmp_path / "file"))
    assert said.exit_code in (1, 2)
    assert isinstance(said.exception, SystemExit), said.exception
    assert "cannot be made" in said.output or "is a file" in said.output


def test_the_data_folder_of_a_mirax_slide_gets_no_file(out, tmp_path):
    info = replace(ap.results(out).slide("a"), path=tmp_path / "a.mrxs")
    OverlayFile(tmp_path / "a.png", "a", "png").check(info)
    with pytest.raises(UnwritableOutput, match="would lie among its files"):
        OverlayFile(tmp_path / "a" / "a.png", "a", "png").check(info)
