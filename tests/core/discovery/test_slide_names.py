"""Names in tables and of masks find the slide they mean, or none; what served no slide is named."""

import tempfile
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from rounds import examples

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.discovery.sources import Discovery, SlideSource
from atlaspatch_core.discovery.unused import slides_without_mask, unused_inputs
from atlaspatch_core.slides.slide import folded, stem_of
from atlaspatch_core.tissue.supplied_masks import MaskFolder

stems = st.text("aAéÉß.b-1", min_size=1, max_size=6).filter(lambda stem: stem.strip(".") == stem and ".." not in stem)
suffixes = st.sampled_from([".svs", ".ome.tiff", ".NDPI"])
FORMS = {
    "file": lambda stem, suffix: stem + suffix,
    "stem": lambda stem, _: stem,
    "capitals": lambda stem, suffix: (stem + suffix).upper(),
    "decomposed": lambda stem, suffix: unicodedata.normalize("NFD", stem + suffix),
    "Windows path": lambda stem, suffix: f"D:\\scans\\{stem}{suffix}",
}


def meanings(name: str, files: dict[str, Path]) -> set[str]:
    """Return the slides that a name could mean to a person who minds neither capitals nor suffix."""
    whole = folded(name.replace("\\", "/").rsplit("/")[-1])
    short = folded(stem_of(Path(whole)))
    return {stem for stem, path in files.items() if {folded(path.name), folded(stem)} & {whole, short}}


@given(st.lists(st.tuples(stems, suffixes), min_size=1, max_size=6), st.sampled_from(list(FORMS)), st.data())
def test_a_name_means_its_slide_or_none_and_never_another_without_doubt(slides, form, data):
    files = {stem_of(Path(stem + suffix)): Path(stem + suffix) for stem, suffix in slides}
    stem, path = data.draw(st.sampled_from(list(files.items())))
    name = FORMS[form](stem, path.name[len(stem) :])
    meant = SlideNames(files).stem(name)
    assert meant is None or meant in meanings(name, files)
    if form == "file":
        assert meant == stem
    if meanings(name, files) == {stem}:
        assert meant == stem


def names(*files: str) -> SlideNames:
    return SlideNames({stem_of(Path(file)): Path(file) for file in files})


def test_a_whole_stem_in_other_capitals_comes_before_one_that_is_cut_off():
    both = names("S1.svs", "S1.b.svs")
    assert [both.stem(name) for name in ("S1.B", "S1.b", "s1.b.svs", "S1.c", "S1")] == ["S1.b"] * 3 + ["S1"] * 2


def test_a_stem_with_dots_is_known_without_its_suffix():
    barcode = "TCGA-AA-0001-01Z-00-DX1.1FF0-4B"
    assert names(f"{barcode}.svs", "b.svs").stem(barcode) == barcode


def test_what_is_written_exactly_wins_and_what_means_two_means_none():
    both = names("case.svs", "CASE.svs")
    assert (both.stem("case"), both.stem("CASE.svs"), both.stem("Case")) == ("case", "CASE", None)
    assert names("a.svs").stem("a_2") is None


@pytest.mark.parametrize(
    "name",
    ["s.png", "S.PNG", "s_mask.png", "s-mask.tif", "s.svs.geojson", "S.Svs.png", unicodedata.normalize("NFD", "é.png")],
)
def test_a_mask_is_found_by_the_names_that_tools_give(name: str, tmp_path: Path):
    (tmp_path / name).touch()
    (tmp_path / "t_2.png").touch()
    stem = "é" if name.startswith("e") else "s"
    assert MaskFolder(tmp_path).of(stem) == [tmp_path / name]
    assert MaskFolder(tmp_path).of("t") == []


def test_the_plain_name_of_a_mask_wins(tmp_path: Path):
    for name in ("s.png", "s_mask.png", "S.png"):
        (tmp_path / name).touch()
    assert MaskFolder(tmp_path).of("s") == [tmp_path / "s.png"]
    assert [path.name for path in MaskFolder(tmp_path).of("S")] == ["S.png"]


def test_rows_and_masks_that_served_no_slide_are_named(tmp_path: Path):
    (tmp_path / "mpp.csv").write_text("wsi,mpp\nA.SVS,0.5\nc.svs,0.5\nd,0.5\n")
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "e.png"):
        (tmp_path / "masks" / name).touch()
    given_ = Slides(mpp_csv=tmp_path / "mpp.csv", masks=tmp_path / "masks")
    found = Discovery((SlideSource("a", Path("a.svs")), SlideSource("b", Path("b.svs"))))
    rows, masks = unused_inputs(given_, found)
    assert (rows.names, rows.serves_none) == (("c.svs", "d"), False)
    assert rows.text.endswith("mpp.csv: 2 of 3 rows belong to no slide that was found: c.svs, d")
    assert masks.text.endswith("masks: 1 of 2 masks belongs to no slide that was found: e.png")
    assert unused_inputs(Slides(), found) == ()


READ = (".png", ".PNG", ".geojson", ".tif", ".ome.tif", ".svs.jpg", "_mask.png")
NOT_READ = (".bmp", ".npy", ".xml", ".svs.xml", "_mask.npy", ".geojson.gz")


@examples(60)
@given(
    st.sets(st.tuples(st.sampled_from("abz"), st.sampled_from(READ + NOT_READ)), max_size=5),
    st.sets(st.sampled_from(["README.md", ".hidden", "labels.csv", "site/"])),
)
def test_a_file_of_a_slides_name_serves_it_or_is_named(files, beside):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, ending in files:
            (folder / f"{stem}{ending}").touch()
        for other in beside:
            (folder / other).mkdir() if other.endswith("/") else (folder / other).touch()
        found = Discovery((SlideSource("a", Path("a.svs")), SlideSource("b", Path("b.svs"))))
        unused = unused_inputs(Slides(masks=folder), found)
        served = {mask.name for stem in "ab" for mask in MaskFolder(folder).of(stem)}
        of_slides = {stem + ending for stem, ending in files if stem != "z"}
        named = {name for inputs in unused for name in inputs.names}
        assert {name for name in of_slides if name.endswith(NOT_READ)} <= named
        assert {stem + ending for stem, ending in files if ending in READ} <= named | served
        assert any(inputs.serves_none for inputs in unused) == (not served)
        assert slides_without_mask(Slides(masks=folder), found) == tuple(
            stem for stem in "ab" if not any(name.startswith(stem) for name in served)
        )


def test_a_folder_without_masks_is_refused_and_a_slide_without_one_is_told(tmp_path: Path):
    (tmp_path / "masks" / "site").mkdir(parents=True)
    refused = encode(tmp_path, "--masks", tmp_path / "masks")
    assert refused.exit_code == 2
    assert "there is no mask in it, but site/" in refused.output
    (tmp_path / "labels" / "case.zarr").mkdir(parents=True)
    assert "store the label images of Zarr stores as PNG" in encode(tmp_path, "--masks", tmp_path / "labels").output
    (tmp_path / "masks" / "other.png").touch()
    paint_slide(tmp_path / "other.svs", white(1024, 768), mpp=0.5)
    told = encode(tmp_path, tmp_path / "other.svs", "--masks", tmp_path / "masks")
    assert f"NO MASK: 1 of 2 slides in {tmp_path / 'masks'} (case): otsu finds the tissue" in told.output


def test_a_table_that_states_nothing_is_wrong_usage(tmp_path: Path):
    (tmp_path / "mpp.csv").write_text("wsi,mpp\ncase.svs,\n")
    result = encode(tmp_path, "--mpp-csv", tmp_path / "mpp.csv")
    assert (result.exit_code, "no row states an mpp" in result.output) == (2, True)


def encode(folder: Path, *more: object):
    slide = paint_slide(folder / "case.svs", stain(white(1024, 768), 128, 128, 600, 500), mpp=0.5)
    options = ("--patch-encoders", "efficientnet_lite0", "--patch-size", 256, "--target-mag", 20, "--device", "cpu")
    return CliRunner().invoke(cli, ["encode-slide", *map(str, (slide, "-o", folder / "out", *options, *more))])


def test_a_table_of_which_no_row_means_a_slide_is_wrong_usage(tmp_path: Path):
    (tmp_path / "mpp.csv").write_text("wsi,mpp\nkase.svs,0.25\n")
    result = encode(tmp_path, "--mpp-csv", tmp_path / "mpp.csv")
    assert result.exit_code == 2
    assert "none of 1 row belongs to a slide that was found: kase.svs; write the names" in result.output.replace(
        "\n", " "
    )
    assert not (tmp_path / "out").exists()


def test_masks_that_are_nobodys_are_wrong_usage_or_named(tmp_path: Path):
    (tmp_path / "masks").mkdir()
    mask = np.zeros((96, 128), np.uint8)
    mask[20:60, 20:80] = 255
    cv2.imwrite(str(tmp_path / "masks" / "kase.png"), mask)
    assert encode(tmp_path, "--masks", tmp_path / "masks").exit_code == 2
    cv2.imwrite(str(tmp_path / "masks" / "CASE_mask.PNG"), mask)
    result = encode(tmp_path, "--masks", tmp_path / "masks")
    assert result.exit_code == 0, result.output
    assert "1 of 2 masks belongs to no slide that was found: kase.png" in result.output
    assert '"supplied"' in (tmp_path / "out" / "slides" / "case.json").read_text()
