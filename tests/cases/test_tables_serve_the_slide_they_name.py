"""A row of a table serves the slide that it names, however both are written, or the row is named; never another slide.

Each slide is tissue of its own colour, so that a result tells of which slide it is.
"""

import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import PLUGIN, Said, encode, patches_of, run
from hypothesis import given
from hypothesis import strategies as st
from paint import GLASS, MPP, Page, write_pages
from rounds import examples
from tables import FILES, SPELLINGS, TableForm, table_forms, write_table

pytestmark = pytest.mark.quick

COLOURS = {
    "S-1": (200, 60, 150),
    "TCGA-AA-01.1FF0-4B": (150, 40, 120),
    "Mäuse 7": (220, 90, 190),
    "b.x_2": (120, 60, 160),
}
STEMS = st.lists(st.sampled_from(sorted(COLOURS)), min_size=1, max_size=3, unique=True)
ODD = ["S-2", "TCGA-AA-01", "Mause 7", "kase"]
"""Names that mean no slide."""


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of slides, one colour each."""
    folder = tmp_path_factory.mktemp("tables") / "slides"
    folder.mkdir()
    for stem, colour in COLOURS.items():
        pixels = np.full((96, 160, 3), GLASS, np.uint8)
        pixels[16:80, 32:128] = colour
        write_pages(folder / f"{stem}.tif", [Page(pixels)])
    return folder


def made(output: Path) -> set[str]:
    return {path.stem for path in (output / "patches").glob("*.h5")}


def shows(output: Path, stem: str, of: str) -> bool:
    """Tell whether the patches that are tissue alone have the colour of a slide."""
    distance = np.abs(patches_of(output, stem).colours - COLOURS[of]).max(axis=1)
    return distance.min() < 1


def assert_named(said: Said, odd: list[str]) -> None:
    assert all(name in said.text for name in odd), said.text


@given(
    stems=STEMS,
    odd=st.lists(st.sampled_from(ODD), max_size=2, unique=True),
    spelling=st.sampled_from(sorted(FILES)),
    form=table_forms,
    mpp=st.sampled_from([0.3, 0.4, 0.45]),
)
@examples(5)
def test_a_row_of_scales_is_of_the_slide_that_it_names(slides: Path, stems, odd, spelling, form: TableForm, mpp):
    stated = {stem: mpp + number / 100 for number, stem in enumerate(stems)}
    rows = [(FILES[spelling](f"{stem}.tif"), scale) for stem, scale in stated.items()]
    rows = [*((f"{name}.tif", 0.9) for name in odd), *rows]
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "out"
        said = encode(slides, output, "--mpp-csv", write_table(Path(name) / "mpp.csv", ("wsi", "mpp"), rows, form))
        assert said.code == 0, said.text
        assert_named(said, odd)
        assert made(output) == set(COLOURS)
        for stem in COLOURS:
            about = patches_of(output, stem).attributes
            assert about["mpp"] == pytest.approx(stated.get(stem, MPP), abs=1e-6)
            assert about["patch_size_level0"] == round(32 * MPP / about["mpp"])


@given(
    stems=STEMS,
    odd=st.lists(st.sampled_from(ODD), max_size=2, unique=True),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    form=table_forms,
)
@examples(5)
def test_a_list_takes_the_slides_that_it_names_and_no_others(slides: Path, stems, odd, spelling, form: TableForm):
    rows = [(SPELLINGS[spelling](f"{stem}.tif"), MPP) for stem in stems] + [(f"{name}.tif", MPP) for name in odd]
    with tempfile.TemporaryDirectory() as name:
        table = write_table(Path(name) / "list.csv", ("wsi", "mpp"), rows, form)
        said = encode(slides, Path(name) / "out", "--custom-list-of-wsis", table)
        assert said.code == (1 if odd else 0), said.text
        assert_named(said, odd)
        assert made(Path(name) / "out") == set(stems)
        assert all(shows(Path(name) / "out", stem, stem) for stem in stems)


@given(stems=STEMS, spelling=st.sampled_from(sorted(SPELLINGS)), form=table_forms, below=st.booleans())
@examples(5)
def test_a_case_is_of_the_slides_that_it_names(slides: Path, stems, spelling, form: TableForm, below):
    """The mean of a case whose slides are of equal size is the mean of their means."""
    folder = slides.parent if below else slides
    names = [f"{slides.name}/{stem}.tif" if below else f"{stem}.tif" for stem in stems]
    rows = [("Case.1", SPELLINGS[spelling](name)) for name in names] + [("case 2", names[0])]
    with tempfile.TemporaryDirectory() as name:
        table = write_table(folder / "cases.csv", ("case_id", "slide_path"), rows, form)
        words = f"-o {name} --patch-size 32 --target-mpp 0.5 --device cpu --min-tissue-area 0 --min-tissue 1"
        encoder = ("--patient-encoders", "mean-colour", "--feature-plugin", PLUGIN)
        said = run("encode-patient", table, *words.split(), *encoder)
        table.unlink()
        assert said.code == 0, said.text
        folders = [path.parent for path in Path(name).rglob("Case.1.h5")]
        assert len(folders) == 1
        for case, of in (("Case.1", stems), ("case 2", stems[:1])):
            with h5py.File(folders[0] / f"{case}.h5") as file:
                found = np.asarray(file["features"]).ravel()[:3] * 255
            counts = np.array([len(patches_of(Path(name), stem).corners) for stem in of])
            colours = np.array([patches_of(Path(name), stem).colours.mean(axis=0) for stem in of])
            assert np.allclose(found, np.average(colours, axis=0, weights=counts), atol=0.5)
        assert all(shows(Path(name), stem, stem) for stem in stems)


@given(stems=STEMS, spelling=st.sampled_from(sorted(FILES)), form=table_forms)
@examples(4)
def test_a_pseudonym_is_of_the_slide_that_its_row_names(slides: Path, stems, spelling, form: TableForm):
    rows = [(FILES[spelling](f"{stem}.tif"), f"P{number}") for number, stem in enumerate(stems)]
    with tempfile.TemporaryDirectory() as name:
        table = write_table(Path(name) / "names.csv", ("slide", "pseudonym"), rows, form)
        said = encode(slides, Path(name) / "out", "--pseudonyms", table)
        assert said.code == (0 if len(stems) == len(COLOURS) else 1), said.text
        assert made(Path(name) / "out") == {f"P{number}" for number in range(len(stems))}
        assert all(shows(Path(name) / "out", f"P{number}", stem) for number, stem in enumerate(stems))
