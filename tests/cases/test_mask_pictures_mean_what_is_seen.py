"""Patches are kept where a mask that is a picture shows tissue, whatever its mode, or its slide is refused for it."""

import os
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from commands import SIDE, encode, patches_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mask_pictures import CLEAR, UNCLEAR, Tissue, values
from paint import Page, paint_scan, write_pages
from PIL import Image
from rounds import examples

pytestmark = pytest.mark.quick

ROWS, COLUMNS = 6, 9
CELLS = arrays.arrays(np.bool_, (ROWS, COLUMNS)).filter(lambda cells: 0 < cells.sum() < cells.size)
"""A patch each."""
PX = st.sampled_from([4, 8, 31, 32, 48])
"""Side of a patch, px of the mask: that of coarse masks, a rounded one, the slide's own, a finer one."""


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pages(tmp_path_factory.mktemp("masks") / "a.tif", [Page(paint_scan(COLUMNS * SIDE, ROWS * SIDE, 1))])


def link(slide: Path, folder: Path, stems: list[str]) -> list[Path]:
    """Have the same slide under several names."""
    for part in ("slides", "masks"):
        (folder / part).mkdir()
    slides = [folder / "slides" / f"{stem}.tif" for stem in stems]
    for path in slides:
        os.link(slide, path)
    return slides


def drawn(cells: Tissue, px: int) -> Tissue:
    return np.kron(cells, np.ones((px, px), bool))


def kept(output: Path, stem: str) -> Tissue:
    corners = patches_of(output, stem).corners
    cells = np.zeros((ROWS, COLUMNS), bool)
    cells[corners[:, 1] // SIDE, corners[:, 0] // SIDE] = True
    return cells


@given(
    cells=CELLS,
    px=PX,
    clear=st.lists(st.sampled_from(sorted(CLEAR)), min_size=3, max_size=3, unique=True),
    unclear=st.lists(st.sampled_from(sorted(UNCLEAR)), min_size=3, max_size=3, unique=True),
)
@examples(6)
def test_a_picture_keeps_the_patches_that_it_shows_or_refuses_its_slide(slide: Path, cells, px, clear, unclear):
    forms = {f"s{number}": form for number, form in enumerate((*clear, *unclear))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slides = link(slide, folder, list(forms))
        for stem, form in forms.items():
            (CLEAR | UNCLEAR)[form](folder / "masks" / stem, drawn(cells, px))
        said = encode(slides, folder / "out", "--masks", folder / "masks", "--min-tissue", 0.5)
        for stem, form in forms.items():
            refused = not (folder / "out" / "patches" / f"{stem}.h5").exists()
            assert refused <= (form in UNCLEAR), (form, said.text)
            assert refused == (f"masks/{stem}." in said.text), (form, said.text)
            assert refused or (kept(folder / "out", stem) == cells).all(), (form, said.text)


NAMED = {
    "plain": lambda stem: f"{stem}.png",
    "capitals": lambda stem: f"{stem}.PNG".upper(),
    "with the slide's suffix": lambda stem: f"{stem}.tif.png",
    "_mask": lambda stem: f"{stem}_mask.png",
    "decomposed": lambda stem: unicodedata.normalize("NFD", f"{stem}.png"),
}


@given(
    cells=st.lists(CELLS, min_size=3, max_size=3),
    named=st.lists(st.sampled_from(sorted(NAMED)), min_size=3, max_size=3),
    labels=st.lists(st.integers(0, 9), min_size=2, max_size=2, unique=True),
    words=st.booleans(),
)
@examples(4)
def test_each_mask_is_of_the_slide_that_it_is_named_after(slide: Path, cells, named, labels, words):
    """The others are named; tissue is the label that is asked for, by its number or by its name."""
    stems = ["S-1", "TCGA-1.7F-2", "Mäuse 7"]
    glass, tissue = labels
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slides = link(slide, folder, stems)
        for stem, form, shown in zip(stems, named, cells, strict=True):
            Image.fromarray(values(drawn(shown, 8), tissue, glass)).save(folder / "masks" / NAMED[form](stem))
        Image.fromarray(values(drawn(cells[0], 8), tissue, glass)).save(folder / "masks" / "S-11.png")
        if words:
            (folder / "masks" / "labels.csv").write_text(f"value,name\n{tissue},Tissue\n{glass},glass\n")
        wanted = ("--mask-values", "tissue" if words else tissue)
        said = encode(slides, folder / "out", "--masks", folder / "masks", "--min-tissue", 0.5, *wanted)
        assert said.code == 0, said.text
        assert "S-11.png" in said.text
        for stem, shown in zip(stems, cells, strict=True):
            assert (kept(folder / "out", stem) == shown).all(), said.text
