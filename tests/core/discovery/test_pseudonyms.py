"""Pseudonyms: what slides are called once they are found, and which tables, masks and messages are theirs."""

import stat
from pathlib import Path

import numpy as np
import pytest
from dicom_series import write_series
from hypothesis import event, given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from pseudonyms import KEY, hiding, leaks, write_table
from rounds import examples

from atlaspatch_core.cli.slides import report_unused
from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import Discovery, find_slides
from atlaspatch_core.discovery.unused import unused_inputs
from atlaspatch_core.errors import InvalidProject, NoSlides
from atlaspatch_core.pipeline.patients.manifest import manifest_of
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.content_hash import content_fingerprint
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick
GEOMETRY = {"patch_size": 256, "target_mag": 20}


@pytest.fixture(autouse=True)
def cache(tmp_path):
    with hiding(tmp_path / "cache") as patch:
        yield patch


def project(folder: Path, *, output: str = "output", **values) -> Project:
    """Return a project of the slides below ``folder/slides``; ``values`` are sections, of which slides has more."""
    slides = {"folders": [folder / "slides"], "recursive": True, **values.pop("slides", {})}
    return make_project({"slides": slides, "output": folder / output, **values}, origin="test")


def named(folder: Path, rows: dict[str, str], **slides) -> Project:
    """Return a project with a table of pseudonyms."""
    return project(folder, slides={"pseudonyms": write_table(folder / "names.csv", rows), **slides})


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / "slides" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "slides" / name).write_bytes(name.encode())


def stems(discovery: Discovery) -> list[str]:
    return [source.stem for source in discovery.sources]


def test_slides_lie_behind_private_links_that_are_called_by_their_pseudonyms(tmp_path):
    touch(tmp_path, "Smith John.svs", "ward/Doe.ome.tif")
    discovery = find_slides(named(tmp_path, {"Smith John.svs": "P1", "Doe": "P2"}))
    assert [(source.stem, source.path.name) for source in discovery.sources] == [("P1", "P1.svs"), ("P2", "P2.ome.tif")]
    for source in discovery.sources:
        assert source.path.is_relative_to(tmp_path / "cache")
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in list(source.path.parents)[:3]} == {0o700}
        assert source.cohort == "slides"
    assert discovery.sources[0].path.read_bytes() == b"Smith John.svs"


def test_a_keyed_hash_names_slides_and_another_key_names_them_otherwise(tmp_path, cache):
    touch(tmp_path, "Smith.svs")
    of = project(tmp_path, slides={"pseudonym_key_variable": KEY})
    (first,) = stems(find_slides(of))
    cache.setenv(KEY, "the secret of another hospital")
    (second,) = stems(find_slides(of))
    assert len(first) == len(second) == 16
    assert first != second
    cache.delenv(KEY)
    with pytest.raises(InvalidProject, match=f"{KEY} has 0 characters in the environment"):
        find_slides(of)


def test_slides_without_a_row_are_left_out_counted_and_not_named(tmp_path):
    touch(tmp_path, "Smith.svs", "Doe.svs", "Roe.svs")
    (tmp_path / "slides" / "Gone.svs").symlink_to("nowhere")
    discovery = find_slides(named(tmp_path, {"Smith": "P1"}))
    assert stems(discovery) == ["P1"]
    told = " ".join(f"{left.path} {left.why}" for left in discovery.left_out)
    assert "2 slides have no row in the table of pseudonyms" in told
    assert "1 link to slides" in told
    assert not any(name in told for name in ("Doe", "Roe", "Gone"))


def test_files_of_one_pseudonym_clash_and_stop_no_other(tmp_path):
    touch(tmp_path, "a/Smith.svs", "b/Smith.svs", "Doe.svs")
    discovery = find_slides(named(tmp_path, {"Smith": "P1", "Doe": "P2"}))
    assert stems(discovery) == ["P2"]
    (clash,) = discovery.clashes
    assert clash.stem == "P1"
    assert len(clash.paths) == 2
    assert "Smith" not in str(clash.error)
    assert {path.read_bytes() for path in clash.paths} == {b"a/Smith.svs", b"b/Smith.svs"}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ({"Smith": ""}, "line 2: results cannot carry a pseudonym of 0 characters"),
        ({"P1": "Smith John"}, "line 2: results cannot carry a pseudonym of 10 characters"),
        ({"Smith": "../P1"}, "results cannot carry a pseudonym"),
        ({"Smith": "P.ome"}, "results cannot carry a pseudonym"),
        ({"Smith": "P1", "Doe": "p1"}, "line 3: the pseudonym p1 stands in line 2, too"),
        ({"Smith": "P1", "smith": "P2"}, "its slide has two pseudonyms, P1 and P2"),
        ({"A1": "B1", "b1": "A1"}, "the pseudonym B1 is also the name of a slide"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_without_names(tmp_path, rows, why):
    touch(tmp_path, "Smith.svs")
    with pytest.raises(InvalidProject, match=why) as refusal:
        find_slides(named(tmp_path, rows))
    assert "smith" not in str(refusal.value).lower()


def test_a_table_without_a_head_is_refused_without_its_first_name(tmp_path):
    touch(tmp_path, "Smith.svs")
    table = write_table(tmp_path / "names.csv", {}, ("Smith.svs", "P1"))
    with pytest.raises(InvalidProject, match="the column slide is missing") as refusal:
        find_slides(project(tmp_path, slides={"pseudonyms": table}))
    assert "Smith" not in str(refusal.value)


def test_files_of_many_formats_are_linked_together_and_keep_their_content(tmp_path):
    touch(tmp_path, "Smith.mrxs", "Smith/Slidedat.ini", "Smith/Data0000.dat", "Doe(1).jpg", "Doe.opt")
    index = "[Virtual Microscope Specimen]\nImageFile=Doe(1).jpg\nOptimisationFile=Doe.opt\n"
    (tmp_path / "slides" / "Doe.vms").write_text(index)
    write_series(tmp_path / "slides" / "Roe", "one")
    folder = tmp_path / "slides"
    before = [content_fingerprint(folder / name) for name in ("Smith.mrxs", "Doe.vms", "Roe")]
    discovery = find_slides(named(tmp_path, {"Smith": "P1", "Doe": "P2", "Roe": "P3"}))
    by_stem = discovery.by_stem
    assert sorted(by_stem) == ["P1", "P2", "P3"]
    assert [content_fingerprint(by_stem[stem].path) for stem in ("P1", "P2", "P3")] == before
    assert sorted(path.name for path in by_stem["P3"].path.iterdir()) == ["P3_000000.dcm", "P3_000001.dcm"]


@pytest.mark.parametrize("place", ["slides/Smith.svs", "slides/S*.svs", "slides/Nobody.svs", "slides/Roe"])
def test_what_names_a_slide_is_no_place_to_look(tmp_path, place):
    touch(tmp_path, "Smith.svs")
    write_series(tmp_path / "slides" / "Roe")
    with pytest.raises(InvalidProject, match="with pseudonyms its name would be remembered") as refusal:
        find_slides(named(tmp_path, {"Smith": "P1", "Roe": "P3"}, folders=[tmp_path / place]))
    assert Path(place).name not in str(refusal.value)


def test_a_pattern_for_any_slide_is_searched(tmp_path):
    touch(tmp_path, "ward/Smith.svs")
    assert stems(find_slides(named(tmp_path, {"Smith": "P1"}, folders=[tmp_path / "slides/**/*.svs"]))) == ["P1"]


@pytest.mark.parametrize("key", [False, True])
@pytest.mark.parametrize("form", ["{file}", "{stem}", "ward/{file}", "{pseudonym}", "{pseudonym}.svs"])
def test_tables_mean_a_slide_by_either_name(tmp_path, form, key):
    touch(tmp_path, "ward/Smith John.svs")
    table = write_table(tmp_path / "names.csv", {"Smith John": "P1"})
    names = {"pseudonym_key_variable": KEY} if key else {"pseudonyms": table}
    (pseudonym,) = stems(find_slides(project(tmp_path, slides=names)))
    written = form.format(file="Smith John.svs", stem="Smith John", pseudonym=pseudonym)
    mpps = write_table(tmp_path / "mpp.csv", {written: "0.3", "Nobody": "0.4"}, ("wsi", "mpp"))
    of = project(tmp_path, slides={**names, "mpp_csv": mpps})
    (source,) = find_slides(of).sources
    assert (source.stem, source.mpp) == (pseudonym, 0.3)
    (unused,) = unused_inputs(of.slides, find_slides(of))
    assert unused.text.endswith("that was found: line 3")


@pytest.mark.parametrize("form", ["ward/Smith John.svs", "ward\\smith john.svs", "P1", "p1.svs"])
def test_a_list_of_slides_and_a_table_of_cases_take_either_name(tmp_path, form):
    touch(tmp_path, "ward/Smith John.svs", "Doe.svs")
    rows = {"ward/Smith John.svs": "0.5"} | {form: "0.5", "Nobody.svs": "1"}
    listed = named(tmp_path, {"Smith John": "P1"}, slide_list=write_table(tmp_path / "list.csv", rows, ("wsi", "mpp")))
    discovery = find_slides(listed)
    assert [(source.stem, source.mpp) for source in discovery.sources] == [("P1", 0.5)]
    told = " ".join(left.why for left in discovery.left_out) + " ".join(discovery.sources[0].notes)
    assert "there is no such slide" in told
    assert leaks([], told, ["Smith John", "Nobody"]) == []
    name = form if form.lower().startswith("p1") else f"slides/{form}"
    cases = write_table(tmp_path / "cases.csv", {name: "C1", "slides/Doe.svs": "C2"}, ("slide_path", "case_id"))
    manifest = manifest_of(
        listed.model_copy(update={"patients": listed.patients.model_copy(update={"manifest": cases})})
    )
    assert [(case.case_id, case.stems) for case in manifest.cases] == [("C1", ("P1",))]
    assert [left.why.partition(": ")[2] for left in manifest.left_out] == [
        "case C2 is left out with a slide: it has no pseudonym; add it to the table of these"
    ]


def test_a_list_of_none_of_the_slides_names_none(tmp_path):
    touch(tmp_path, "Smith.svs")
    rows = write_table(tmp_path / "list.csv", {"Nobody.svs": "1"}, ("wsi", "mpp"))
    with pytest.raises(NoSlides) as refusal:
        find_slides(named(tmp_path, {"Smith": "P1"}, slide_list=rows))
    assert "Nobody" not in str(refusal.value)


def outputs(of: Project) -> dict[str, str | None]:
    """Return output to fingerprint, of the only slide; what failed says why."""
    outcomes = process(find_slides(of).sources, make_recipe(of))
    return {str(outcome.step): outcome.fingerprint or outcome.why for outcome in outcomes}


@pytest.mark.parametrize("mask", [None, "Smith", "P1", "Smith_mask"])
def test_results_are_those_of_the_slide_under_its_own_name(tmp_path, mask):
    (tmp_path / "slides").mkdir(), (tmp_path / "masks").mkdir()
    pixels = stain(white(1024, 1024), 256, 256, 512, 512)
    paint_slide(tmp_path / "slides" / "Smith.svs", pixels)
    more = {"geometry": [GEOMETRY], "tissue": {"segmenter": "otsu"}, "runtime": {"device": "cpu"}}
    masks = {}
    if mask:
        import cv2

        cv2.imwrite(str(tmp_path / "masks" / f"{mask}.png"), np.pad(np.full((8, 8), 255, np.uint8), 4))
        masks = {"masks": tmp_path / "masks"}
    table = write_table(tmp_path / "names.csv", {"Smith": "P1"})
    hidden = outputs(project(tmp_path, slides={**masks, "pseudonyms": table}, output="hidden", **more))
    if mask == "P1":
        (tmp_path / "masks" / "P1.png").rename(tmp_path / "masks" / "Smith.png")
    assert hidden == outputs(project(tmp_path, slides=masks, output="open", **more))
    assert leaks([tmp_path / "hidden"], "", ["Smith"]) == []


def test_results_under_file_names_are_told_of_and_left(tmp_path, capsys):
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "Smith.svs", stain(white(1024, 1024), 256, 256, 512, 512))
    more = {"geometry": [GEOMETRY], "tissue": {"segmenter": "otsu"}, "runtime": {"device": "cpu"}}
    outputs(project(tmp_path, **more))
    of = named(tmp_path, {"Smith": "P1"})
    report_unused(of, find_slides(of))
    told = capsys.readouterr().err
    assert "1 slide has results under the names of their files" in told
    assert "Smith" not in told
    assert (tmp_path / "output" / "patches" / "Smith.h5").is_file()


def test_two_masks_of_a_slide_are_told_by_its_pseudonym(tmp_path):
    (tmp_path / "slides").mkdir(), (tmp_path / "masks").mkdir()
    paint_slide(tmp_path / "slides" / "Smith.svs", stain(white(1024, 1024), 256, 256, 512, 512))
    for name in ("Smith_mask.png", "P1.png"):
        (tmp_path / "masks" / name).touch()
    of = named(tmp_path, {"Smith": "P1"}, masks=tmp_path / "masks")
    told = outputs(of)["tissue_mask"]
    assert "are both its mask" in str(told)
    assert leaks([tmp_path / "output"], str(told), ["Smith"]) == []


def test_supplied_coords_are_found_under_either_name(tmp_path):
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "Smith.svs", stain(white(1024, 1024), 256, 256, 512, 512))
    more = {"tissue": {"segmenter": "otsu"}, "runtime": {"device": "cpu"}}
    outputs(project(tmp_path, output="open", geometry=[GEOMETRY], **more))
    geometry = {**GEOMETRY, "coords": tmp_path / "open"}
    table = write_table(tmp_path / "names.csv", {"Smith": "P1"})
    hidden = outputs(project(tmp_path, slides={"pseudonyms": table}, output="hidden", geometry=[geometry], **more))
    assert hidden == outputs(project(tmp_path, output="again", geometry=[geometry], **more))
    assert leaks([tmp_path / "hidden"], "", ["Smith"]) == []


@examples(20)
@given(
    st.dictionaries(st.text("AbÉ1 _-", min_size=3, max_size=6), st.text("abc", min_size=1, max_size=3), max_size=6),
    st.sets(st.text("AbÉ1 _-", min_size=3, max_size=6), min_size=1, max_size=6),
)
def test_slides_have_the_pseudonym_of_their_row_or_are_left_out(tmp_path_factory, rows, files):
    folder = tmp_path_factory.mktemp("any")
    for name in files:
        touch(folder, f"{name}.svs")
    with hiding(folder / "cache"):
        try:
            discovery = find_slides(named(folder, rows))
        except (InvalidProject, NoSlides) as error:
            event(type(error).__name__)
            return
        for source in discovery.sources:
            assert source.path.read_bytes().decode().removesuffix(".svs").strip() in {
                name.strip() for name, pseudonym in rows.items() if pseudonym == source.stem
            }
