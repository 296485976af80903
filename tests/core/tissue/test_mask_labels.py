"""Labels of mask images are tissue by name, however the table beside the mask is written."""

import json
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, white
from PIL import Image
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.unused import unused_inputs
from atlaspatch_core.errors import InvalidProject, UnusableMask
from atlaspatch_core.pipeline import process
from atlaspatch_core.tissue.mask_labels import values_of
from atlaspatch_core.tissue.supplied_masks import MaskFolder
from atlaspatch_core.validity import make_recipe, stored_in_files, validities
from atlaspatch_core.validity.outcome import Outcome, Status

Table = Mapping[str, int]


def as_csv(table: Table, separator: str = ",", head: str = "value,name") -> str:
    rows = [head.replace(",", separator), *(f'{value}{separator}"{name}"' for name, value in table.items())]
    return "\r\n".join(row for row in rows if row)


def with_colours(table: Table) -> str:
    return "\n".join(["id,red,green,blue,class", *(f"{value},10,20,30,{name}" for name, value in table.items())])


def as_palette(table: Table) -> str:
    names = {value: name for name, value in table.items()}
    colours = [f"{index:3} 10 20\t{names.get(index, '')}" for index in range(max(names) + 1)]
    return "\n".join(["GIMP Palette", "Name: tissue", "Columns: 4", "#", *colours])


def in_omezarr(table: Table) -> str:
    properties = [{"label-value": value, "class": name} for name, value in table.items()]
    colours = [{"label-value": value, "rgba": [1, 2, 3, 255]} for value in table.values()]
    return json.dumps({"image-label": {"version": "0.4", "colors": colours, "properties": properties}})


FORMS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "CSV": (".csv", as_csv),
    "CSV of a German spreadsheet": (".CSV", lambda table: "\ufeff" + as_csv(table, ";", "Wert;Name")),
    "CSV without a head": (".csv", lambda table: as_csv(table, head="")),
    "CSV with colours": (".csv", with_colours),
    "TSV with names first": (
        ".tsv",
        lambda table: "label\tGT_code\n" + "".join(f"{name}\t{value}\n" for name, value in table.items()),
    ),
    "JSON, name to value": (".json", json.dumps),
    "JSON, value to name": (".json", lambda table: json.dumps({str(value): name for name, value in table.items()})),
    "JSON, value to object": (
        ".json",
        lambda table: json.dumps({str(value): {"name": name, "color": "red"} for name, value in table.items()}),
    ),
    "JSON, name to values": (".json", lambda table: json.dumps({name: [value] for name, value in table.items()})),
    "JSON of a data set": (".json", lambda table: json.dumps({"numTraining": 3, "labels": dict(table)})),
    "JSON, objects": (
        ".json",
        lambda table: json.dumps([{"id": value, "name": name, "color": [1, 2, 3]} for name, value in table.items()]),
    ),
    "OME-Zarr": (".json", in_omezarr),
    "palette": (".gpl", as_palette),
}
NAMES = st.sampled_from(["tissue", "Tumor stroma", "gewebe ä", "glass", "x-1", "necrosis"])


@examples(80)
@given(
    table=st.dictionaries(NAMES, st.integers(0, 255), min_size=1).filter(lambda it: len(set(it.values())) == len(it)),
    form=st.sampled_from(sorted(FORMS)),
    base=st.sampled_from(["a", "a.png", "labels", "LABELS"]),
    spelling=st.sampled_from([str, str.upper, lambda name: unicodedata.normalize("NFD", name)]),
    data=st.data(),
)
def test_a_name_means_the_value_that_the_table_says(tmp_path_factory, table, form, base, spelling, data):
    folder, (suffix, written) = tmp_path_factory.mktemp("masks"), FORMS[form]
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "a.png")
    (folder / f"{base}{suffix}").write_text(written(table), encoding="utf-8")
    wanted = data.draw(st.lists(st.sampled_from(sorted(table)), min_size=1, unique=True))
    number = data.draw(st.integers(0, 9))
    meant = sorted({number, *(table[name] for name in wanted)})
    assert list(values_of(folder / "a.png", "a", [number, *map(spelling, wanted)])) == meant
    assert MaskFolder(folder).of("a") == [folder / "a.png"]
    assert MaskFolder(folder).files == [folder / "a.png"]
    with pytest.raises(UnusableMask) as told:
        values_of(folder / "a.png", "a", ["unheard of"])
    assert all(f"{name} ({value})" in str(told.value) for name, value in table.items())


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "nothing says which value of its mask .* is tissue .* labels.csv with the columns value and name"),
        ({"a.csv": "value,name\n1,tissue", "a.json": '{"tissue": 1}'}, "both name the values of its mask; leave one"),
        ({"a.csv": "a,b\nx,y\n"}, "cannot be read as a table of values and names .*0 of its columns"),
        ({"a.csv": "p,q,s\n1,2,x\n3,4,y"}, "2 of its columns have whole numbers alone, and none is called value"),
        ({"labels.json": '{"tissue": -1}'}, "-1 is no value of a pixel"),
        ({"labels.csv": ""}, "cannot be read as a table"),
    ],
)
def test_what_says_nothing_clear_is_refused(files: dict[str, str], words: str, tmp_path: Path):
    (tmp_path / "a.png").touch()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UnusableMask, match=f"^a: .*{words}"):
        values_of(tmp_path / "a.png", "a", ["tissue"])


def test_the_table_of_the_mask_wins_over_that_of_the_folder(tmp_path: Path):
    (tmp_path / "a.png").touch()
    (tmp_path / "labels.csv").write_text("1,tissue\n")
    (tmp_path / "a.csv").write_text("2,tissue\n")
    assert values_of(tmp_path / "a.png", "a", ["tissue"]) == (2,)
    assert values_of(tmp_path / "b.png", "b", ["tissue"]) == (1,)


def recipe(folder: Path, *values: int | str):
    slides = {"folders": [folder / "slides"], "masks": folder / "masks", "mask_values": values}
    geometry = [{"patch_size": 256, "target_mag": 20}]
    return make_recipe(make_project({"output": folder / "out", "slides": slides, "geometry": geometry}, origin="test"))


def mask_of(folder: Path, *values: int | str) -> Outcome:
    made = recipe(folder, *values)
    outcomes = process(find_slides(made.project).sources, made)
    return next(outcome for outcome in outcomes if outcome.step.kind == "tissue_mask")


def state_of(folder: Path, *values: int | str) -> str:
    made = recipe(folder, *values)
    states = validities(made, ["a"], stored_in_files(made), steps=[made.stages[1].step])
    return next(str(it.state) for it in states)


def test_names_give_the_results_of_their_numbers_and_a_change_of_the_table_is_seen(tmp_path: Path):
    for name in ("slides", "masks"):
        (tmp_path / name).mkdir()
    paint_slide(tmp_path / "slides" / "a.svs", white(1024, 1024))
    labels = np.ones((128, 128), np.uint8)
    labels[:64], labels[:, :32] = 2, 3
    Image.fromarray(labels).save(tmp_path / "masks" / "a.png")
    table = tmp_path / "masks" / "labels.json"
    table.write_text('{"glass": 1, "tissue": 2, "tumor": 3}')
    named = mask_of(tmp_path, "Tissue", "tumor")
    assert (named.status, named.numbers["tissue_share"]) == (Status.COMPUTED, pytest.approx(0.625, abs=0.01))
    assert mask_of(tmp_path, 3, 2).status is Status.REUSED
    assert (state_of(tmp_path, "tissue", "tumor"), state_of(tmp_path, "tissue")) == ("fresh", "stale")
    assert unused_inputs(recipe(tmp_path).project.slides, find_slides(recipe(tmp_path).project)) == ()
    table.write_text('{"glass": 2, "tissue": 1, "tumor": 3}')
    assert state_of(tmp_path, "tissue", "tumor") == "stale"
    assert mask_of(tmp_path, "tissue", "tumor").numbers["tissue_share"] == pytest.approx(0.625, abs=0.01)
    refused = mask_of(tmp_path, "tumour")
    assert refused.status is Status.FAILED
    assert "is called tumour (--mask-values)" in refused.why
    assert "glass (2), tissue (1), tumor (3)" in refused.why


@pytest.mark.parametrize("value", [-1, "-2", "", "  "])
def test_what_is_no_value_is_refused(value: int | str, tmp_path: Path):
    with pytest.raises(InvalidProject, match="is no value of a pixel"):
        recipe(tmp_path, value)
