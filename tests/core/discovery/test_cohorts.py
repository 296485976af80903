"""Cohorts: which folder, or row of the list, a slide is of, and which slides somebody means by one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.cohorts import common_cohort, is_in_cohort, stems_among, stems_of_cohorts
from atlaspatch_core.discovery.find import discover, find_slides
from atlaspatch_core.errors import InvalidProject, NoSlides, UnknownName

pytestmark = pytest.mark.quick

PARTS = st.text("ab", min_size=1, max_size=2)
COHORT = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def cohorts(*paths: Path, **options) -> dict[str, str]:
    return {source.stem: source.cohort for source in discover(paths, **options).sources}


def listed(folder: Path, table: str, **slides) -> dict[str, str]:
    (folder / "slides.csv").write_text(table)
    slides = {"folders": [folder / "slides"], "slide_list": folder / "slides.csv", **slides}
    found = find_slides(make_project({"slides": slides, "output": folder / "output"}, origin="test"))
    return {source.stem: source.cohort for source in found.sources}


def test_a_slide_is_of_the_folder_that_was_searched_and_the_path_below_it(tmp_path, monkeypatch):
    touch(tmp_path / "slides", "a.svs", "kidney/b.svs", "kidney/2024/c.svs")
    expected = {"a": "slides", "b": "slides/kidney", "c": "slides/kidney/2024"}
    assert cohorts(tmp_path / "slides", recursive=True) == expected
    assert cohorts(tmp_path / "slides" / "**" / "*.svs") == expected
    monkeypatch.chdir(tmp_path / "slides")
    assert cohorts(Path(), recursive=True) == expected
    assert cohorts(Path("../slides"), recursive=True) == expected


def test_a_file_is_of_the_folder_that_it_lies_in(tmp_path):
    touch(tmp_path / "slides", "kidney/b.svs")
    assert cohorts(tmp_path / "slides" / "kidney" / "b.svs") == {"b": "kidney"}


def test_a_listed_slide_is_of_its_folder_or_of_what_the_column_says(tmp_path):
    touch(tmp_path / "slides", "a.svs", "kidney/b.svs")
    table = "wsi,site\na.svs,Basel\nkidney/b.svs,\n"
    assert listed(tmp_path, table) == {"a": "slides", "b": "slides/kidney"}
    assert listed(tmp_path, table, cohort_column="site") == {"a": "Basel", "b": "slides/kidney"}


def test_a_column_that_the_list_has_not_is_refused(tmp_path):
    touch(tmp_path / "slides", "a.svs")
    with pytest.raises(InvalidProject, match="ward"):
        listed(tmp_path, "wsi,site\na.svs,Basel\n", cohort_column="ward")
    with pytest.raises(InvalidProject, match="cohort_column 'site' is a column of slide_list, which is not given"):
        make_project({"slides": {"cohort_column": "site"}}, origin="test")


def test_a_slide_that_is_listed_in_two_cohorts_is_refused(tmp_path):
    touch(tmp_path / "slides", "a.svs")
    with pytest.raises(InvalidProject, match=r"line 3: a\.svs has two cohorts, Basel in line 2, Bern here"):
        listed(tmp_path, "wsi,site\na.svs,Basel\na.svs,Bern\n", cohort_column="site")


def test_slides_of_one_stem_are_of_the_cohorts_of_both(tmp_path):
    touch(tmp_path / "slides", "kidney/a.svs", "lung/a.svs", "lung/b.svs")
    found = discover([tmp_path / "slides"], recursive=True)
    assert stems_of_cohorts(found.cohorts, ["slides/kidney"]) == {"a"}
    assert stems_of_cohorts(found.cohorts, ["slides/lung"]) == {"a", "b"}


def test_a_cohort_of_no_slide_is_answered_with_those_that_there_are():
    known = {"a": ("slides/kidney",), "b": ("slides/kidney",), "c": ("slides/lung",)}
    with pytest.raises(UnknownName) as refusal:
        stems_of_cohorts(known, ["slides/lung", "slides/liver"])
    assert str(refusal.value) == (
        "no slide is of the cohort slides/liver; there are slides/kidney (2), slides/lung (1)"
    )


def test_many_cohorts_are_counted_beyond_the_first():
    known = {str(number): (f"{number:03}",) for number in range(25)}
    with pytest.raises(UnknownName, match=r"019 \(1\), and 5 more$"):
        stems_of_cohorts(known, ["x"])


def test_slides_and_cohorts_that_are_both_named_are_met_by_what_is_of_both():
    known = {"a": ("x",), "b": ("y",), "c": ("y",)}
    assert stems_among(known, ["y"], ["a", "b"]) == ["b"]
    assert stems_among(known, [], ["a"]) == ["a"]
    assert stems_among(known, []) is None
    with pytest.raises(NoSlides, match=r"^a: not of the cohort y; leave out one or the other$"):
        stems_among(known, ["y"], ["a"])


@pytest.mark.parametrize(
    ("cohort", "wanted", "is_in"),
    [
        ("slides/kidney/2024", "slides/kidney", True),
        ("slides/kidney/2024", "slides/kidney/", True),
        ("slides/kidney/2024", "./slides", True),
        ("slides/kidney/2024", "slides/*/2024", True),
        ("slides/kidney/2024", "slides/kid*", True),
        ("slides/kidney/2024", "**/2024", True),
        ("slides/kidney/2024", "kidney", False),
        ("slides/kidney2", "slides/kidney", False),
        ("slides", "slides/kidney", False),
        ("slides/kidney/2024", "slides/*/2023", False),
        ("slides [1]", "slides [1]", True),
    ],
)
def test_a_cohort_is_a_folder_and_all_below_it_or_a_pattern(cohort, wanted, is_in):
    assert is_in_cohort(cohort, wanted) is is_in


@examples(60)
@given(st.lists(COHORT, min_size=1, max_size=6))
def test_the_common_cohort_holds_all_and_nothing_deeper_does(many):
    common = common_cohort(many)
    assert all(is_in_cohort(cohort, common) for cohort in many if common)
    deeper = {"/".join(cohort.split("/")[: common.count("/") + 2 if common else 1]) for cohort in many} - {common}
    assert not any(all(is_in_cohort(cohort, one) for cohort in many) for one in deeper)
