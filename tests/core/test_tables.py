"""Tables as people write them: read as they are meant, or refused by line and column; never misread in silence."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.discovery.find import find_listed
from atlaspatch_core.discovery.slide_tables import read_mpp_csv
from atlaspatch_core.errors import InvalidManifest, InvalidProject
from atlaspatch_core.pipeline.patients.manifest import read_manifest
from atlaspatch_core.tables import read_table

NAMES = st.sampled_from(["a", "TCGA-01.b", "é", "Ångström", "x, y", "s;t", 'say "ah"', "p 1"])
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")


def quoted(value: str, separator: str) -> str:
    return '"' + value.replace('"', '""') + '"' if set(value) & {separator, '"'} else value


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, dict[str, float]]:
    """Return a table of µm/px as some program writes it, and what it states."""
    stated = draw(st.dictionaries(NAMES, st.sampled_from([0.25, 0.499, 1.0]), min_size=1))
    separator = draw(st.sampled_from(",;\t"))
    decimal = draw(st.sampled_from(",."))
    head = draw(st.sampled_from([("wsi", "mpp"), ("WSI", "MPP"), (" Wsi ", "M.P.P"), ("wsi", "mpp", "note")]))
    notes = st.sampled_from(['"of a, b, c; d"', '"a\tb\tc\td"', '"two\n;;;;lines"'])
    head = (*head, *draw(st.lists(notes, max_size=1)))
    lines = [*draw(st.sampled_from([[], [f"sep={separator}"]])), separator.join(head)]
    for name, mpp in stated.items():
        form = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), name)
        folder = draw(st.sampled_from(["", "slides/", "C:\\scans\\", "\\\\server\\share\\"]))
        values = [quoted(folder + form + ".svs", separator), quoted(str(mpp).replace(".", decimal), separator)]
        lines += [separator.join(values), *draw(st.lists(st.sampled_from(["", separator, "  "]), max_size=1))]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join(lines).encode(draw(st.sampled_from(ENCODINGS))), stated


@examples(100)
@given(tables())
def test_what_any_program_writes_is_read_as_it_is_meant(tmp_path_factory: pytest.TempPathFactory, drawn):
    content, stated = drawn
    path = tmp_path_factory.mktemp("table") / "mpp.csv"
    path.write_bytes(content)
    read = {unicodedata.normalize("NFC", name): row.mpp for name, row in read_mpp_csv(path).items()}
    assert read == {unicodedata.normalize("NFC", f"{name}.svs"): mpp for name, mpp in stated.items()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wsi,mmp\na.svs,0.5\n", "there is no column mmp; if mpp is meant, rename it"),
        ("wsi,mpps\na.svs,0.5\n", "there is no column mpps; if mpp is meant"),
        ("wsl\na.svs\n", "the column wsi is missing, there are wsl; name it in line 1; if wsl is meant, rename it"),
        ("wsi,WSI\na.svs,b.svs\n", "the column wsi stands twice in line 1"),
        ("wsi,mpp\na.svs,1,5\n", "line 2: 3 values under 2 columns"),
        ("wsi\nx, y.svs\n", "line 2: 2 values under 1 columns"),
        ("sep=;\nwsi;mpp\na.svs;1;5\n", "line 3: 3 values under 2 columns"),
        ('note,wsi\n"two\nlines",a.svs\nx,b.svs,c.svs\n', "line 4: 3 values under 2 columns"),
    ],
)
def test_what_would_be_another_table_is_refused(text: str, words: str, tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InvalidProject) as caught:
        read_table(path, ("wsi",), ("mpp",), InvalidProject)
    assert words in str(caught.value)


@examples(30)
@given(st.sampled_from(["é.svs", "B.SVS", "a b.svs"]), st.data())
def test_a_listed_slide_is_found_by_any_way_of_writing_its_name(tmp_path_factory, name: str, data: st.DataObject):
    folder = tmp_path_factory.mktemp("list")
    (folder / "sub").mkdir()
    (folder / "sub" / name).touch()
    spelt = unicodedata.normalize(data.draw(st.sampled_from(["NFC", "NFD"])), name)
    spelt = data.draw(st.sampled_from([spelt, spelt.lower(), spelt.upper()]))
    way = data.draw(st.sampled_from(["sub/", "sub\\", "SUB/", ".\\sub\\"])) + spelt
    (folder / "list.csv").write_text(f"wsi\n{way}\n")
    (folder / "cases.csv").write_text(f"case_id,slide_path\np,{way}\n")
    (source,) = find_listed(folder / "list.csv", (), {}).sources
    assert source.path == folder / "sub" / name
    assert [it.path for it in read_manifest(folder / "cases.csv").slides.values()] == [folder / "sub" / name]


def test_a_name_that_means_two_files_means_none(tmp_path: Path):
    for name in ("a.svs", "A.svs", "b.svs"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text("wsi\na.SVS\nb.svs\n")
    found = find_listed(tmp_path / "list.csv", (), {})
    assert [source.stem for source in found.sources] == ["b"]
    assert "line 2: there is no a.SVS" in found.left_out[0].why


def test_ids_that_look_alike_are_refused(tmp_path: Path):
    for stem in "ab":
        (tmp_path / f"{stem}.svs").touch()
    for one, other in (("P1", "p1"), ("é", unicodedata.normalize("NFD", "é"))):
        (tmp_path / "cases.csv").write_text(f"case_id,slide_path\n{one},a.svs\n{other},b.svs\n")
        with pytest.raises(InvalidManifest, match=r"line 3: case_id .* in line 2 in capitals or accents alone"):
            read_manifest(tmp_path / "cases.csv")


@examples(40)
@given(st.sets(st.text("xé日", min_size=1, max_size=220), min_size=1, max_size=4))
def test_exactly_the_cases_that_results_can_carry_are_taken_and_the_others_told(tmp_path_factory, ids: set[str]):
    """The same bound as for names of slides: one by one, a sentence each."""
    folder, ids = tmp_path_factory.mktemp("cases"), {*ids, "good"}
    (folder / "a.svs").touch()
    (folder / "cases.csv").write_text("case_id,slide_path\n" + "".join(f"{it},a.svs\n" for it in sorted(ids)))
    manifest = read_manifest(folder / "cases.csv")
    usable = {it for it in ids if len(it.encode()) <= 200}
    assert {case.case_id for case in manifest.cases} == usable
    assert len(manifest.left_out) == len(ids - usable)
    assert all("bytes, more than 200; shorten it" in left.why for left in manifest.left_out)


def test_a_case_with_a_slide_that_results_cannot_carry_is_left_out_alone(tmp_path: Path):
    long = f"{'x' * 201}.svs"
    for name in (long, "a.svs"):
        (tmp_path / name).touch()
    (tmp_path / "cases.csv").write_text(f"case_id,slide_path\nc,a.svs\nc,{long}\nd,a.svs\n")
    manifest = read_manifest(tmp_path / "cases.csv")
    assert [case.case_id for case in manifest.cases] == ["d"]
    (left,) = manifest.left_out
    assert "line 3: case c is left out with a slide: " in left.why
