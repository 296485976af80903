"""Scores are of the patches that a file means, whatever its form and order; what it does not mean is refused."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores import SlideRows, read_score_columns, scores_of_patches, slides_of_scores

pytestmark = pytest.mark.quick
COORDS = np.array([[0, 0], [512, 0], [0, 512], [512, 512], [1024, 512]], np.int64)
SCORES = np.array([0.5, -1.25, 3.0, 0.0, 1e-3])


def read(path: Path, column: str | None = None, stem: str = "a") -> np.ndarray:
    rows = SlideRows(read_score_columns(path), [stem], path.name).of(stem)
    return scores_of_patches(rows, stem, COORDS, column, path.name).values


def write(folder: Path, suffix: str, frame: pd.DataFrame) -> Path:
    """Write a table in one of the forms that hold several columns."""
    path = folder / f"scores{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        with h5py.File(path, "w") as file:
            if {"x", "y"} <= {*frame}:
                file["coords"] = frame[["x", "y"]].to_numpy()
            for name in [name for name in frame if name not in ("x", "y")]:
                file[name] = frame[name].to_numpy()
    return path


@given(
    order=st.permutations(range(len(COORDS))),
    count=st.integers(1, len(COORDS)),
    suffix=st.sampled_from([".csv", ".parquet", ".h5"]),
    by=st.sampled_from(["place", "row"]),
    scores=st.lists(st.floats() | st.sampled_from(SCORES), min_size=len(COORDS), max_size=len(COORDS)).map(np.array),
    first=st.sampled_from(SCORES),
)
@examples(60)
def test_rows_are_of_the_patches_that_they_name(tmp_path_factory, order, count, suffix, by, scores, first):
    rows = list(order)[:count]
    scores[rows[0]] = first
    named = {"x": COORDS[rows, 0], "y": COORDS[rows, 1]} if by == "place" else {"row": rows}
    path = write(tmp_path_factory.mktemp("scores"), suffix, pd.DataFrame({**named, "tumour": scores[rows]}))
    expected = np.where(np.isin(range(len(COORDS)), rows) & np.isfinite(scores), scores, np.nan)
    np.testing.assert_array_equal(read(path), expected)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 5), (5, 1, 1)])
def test_an_array_is_in_the_order_of_the_patches(tmp_path, shape):
    np.save(tmp_path / "a.npy", SCORES.reshape(shape))
    np.testing.assert_array_equal(read(tmp_path / "a.npy"), SCORES)


def test_attention_as_models_store_it_has_axes_of_length_one(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["attention_scores"], file["coords"] = SCORES[None, ::-1], COORDS[::-1]
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), SCORES)


def test_of_several_columns_one_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.stack([SCORES, 2 * SCORES], axis=1))
    np.testing.assert_array_equal(read(tmp_path / "a.npy", "1"), 2 * SCORES)
    with pytest.raises(InvalidScores, match=r"a.npy has 2 columns of numbers, there are 0, 1; name one"):
        read(tmp_path / "a.npy")
    with pytest.raises(InvalidScores, match="no column 'x2', there are 0, 1"):
        read(tmp_path / "a.npy", "x2")


def test_of_a_table_of_many_slides_the_rows_of_one_are_taken(tmp_path):
    frame = pd.DataFrame({"slide_id": ["b.svs"] * 2 + ["a.svs"] * 5, "p": [8, 9, *SCORES], "note": ["n"] * 7})
    path = write(tmp_path, ".csv", frame)
    np.testing.assert_array_equal(read(path), SCORES)
    found = slides_of_scores(path, ["a", "b", "c"])
    assert [*found.of_slides] == ["a", "b"]
    assert [found.of_slides[stem].read()["p"].tolist() for stem in "ab"] == [[*map(str, SCORES)], ["8.0", "9.0"]]
    with pytest.raises(InvalidScores, match=r"c: .*scores.csv has no scores of it"):
        slides_of_scores(path, ["a", "b", "c"], ["c"])


def test_a_folder_has_a_file_for_each_slide(tmp_path):
    for stem in ("a", "b"):
        np.save(tmp_path / f"{stem}.npy", SCORES)
    found = slides_of_scores(tmp_path, ["a", "b", "c"])
    assert {stem: source.name for stem, source in found.of_slides.items()} == {"a": "a.npy", "b": "b.npy"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidScores, match="has no scores of it"):
        slides_of_scores(tmp_path / "empty", ["a"])


def test_a_file_that_names_no_slide_is_of_one_slide_alone(tmp_path):
    np.save(tmp_path / "s.npy", SCORES)
    for stems, asked in ((["a"], []), (["a", "b"], ["a"])):
        assert [*slides_of_scores(tmp_path / "s.npy", stems, asked).of_slides] == ["a"]
    with pytest.raises(InvalidScores, match="of which of 2 slides a row is"):
        slides_of_scores(tmp_path / "s.npy", ["a", "b"])


def test_an_empty_cell_is_a_patch_without_a_score(tmp_path):
    (tmp_path / "a.csv").write_text("p\n1\n\n\n".replace("\n\n\n", "\n") + "nan\n2\n3\n4\n")
    np.testing.assert_array_equal(read(tmp_path / "a.csv"), [1, np.nan, 2, 3, 4])
    (tmp_path / "b.csv").write_text("row,p\n0,1\n3,\n")
    np.testing.assert_array_equal(read(tmp_path / "b.csv"), [1, np.nan, np.nan, np.nan, np.nan])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("p\n1\n2\n", "a.csv, column p has 2 rows, and the slide 5 patches"),
        ("x,y,p\n1,0,3\n", "1 of 1 rows lie where no patch does, such as x 1, y 0"),
        ("x,y,p\n0,0,3\n0,0,4\n", "two rows are of patch 0"),
        ("row,p\n5,3\n", "column row: 5 is not the number of a patch; the slide has 5"),
        (",p\n5,3\n", "column without a name: 5 is not the number .*index=False"),
        ("x,y,p\n", "a.csv, column p: none of 0 rows has a number"),
        ("p\nnan\n\n", "a.csv, column p: none of 1 rows has a number"),
        ('row,p\n0,"1,535"\n1,432\n', "column p: '1,535' is no number; write a decimal point"),
        ("row,p\n-1,3\n", "-1 is not the number of a patch"),
        ("row,p\n1.5,3\n", "1.5 is not the number of a patch"),
        ("p,p\n1,2\n", "different column names"),
        ("note\nx\n", "column note: 'x' is no number"),
        ("note,more\nx,y\n", "0 columns of numbers, there are note, more"),
        ("", "has no column of scores"),
    ],
)
def test_what_is_not_of_these_patches_is_refused_in_a_sentence(tmp_path, text, why):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidScores, match=why):
        read(tmp_path / "a.csv")


def test_a_word_among_numbers_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("p\n1\n2\nhigh\n4\n5\n")
    with pytest.raises(InvalidScores, match="column p: 'high' is no number"):
        read(tmp_path / "a.csv", "p")


@given(
    names=st.sampled_from(["tile_{}", "{}1", "centre{}", "pos {} (um)", "{}_centroid", "mid_{}_px"]),
    capitals=st.booleans(),
    order=st.permutations(range(len(COORDS))),
)
@examples(20)
def test_places_under_names_that_are_not_known_are_not_passed_over(tmp_path_factory, names, capitals, order):
    x, y = (names.format(axis.upper() if capitals else axis) for axis in "xy")
    frame = pd.DataFrame({x: COORDS[:, 0], y: COORDS[:, 1], "p": SCORES}).iloc[list(order)]
    path = write(tmp_path_factory.mktemp("scores"), ".csv", frame)
    with pytest.raises(InvalidScores, match="seems to say where patches lie, by a name that is not known"):
        read(path, "p")
    path = write(path.parent, ".csv", frame.assign(row=list(order)))
    np.testing.assert_array_equal(read(path, "p"), SCORES)


@pytest.mark.parametrize(
    "names", [("x_coord", "y_coord"), ("Xcoord", "Ycoord"), ("left", "top"), ("coord_x", "coord_y")]
)
def test_places_have_names_that_others_give_them(tmp_path, names):
    frame = pd.DataFrame({names[0]: COORDS[:, 0], names[1]: COORDS[:, 1], "p": SCORES})[::-1]
    np.testing.assert_array_equal(read(write(tmp_path, ".csv", frame)), SCORES)


def write_hdf5(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


def test_places_are_those_of_the_group_of_the_scores(tmp_path):
    some, other = {"a__coords": COORDS, "a__p": SCORES}, {"b__coords": COORDS[::-1], "b__p": SCORES[::-1]}
    path = write_hdf5(tmp_path / "a.h5", **some, **other, c__p=SCORES)
    for column in ("a/p", "b/p"):
        np.testing.assert_array_equal(read(path, column), SCORES)
    with pytest.raises(InvalidScores, match="a/x and b/x say where patches lie, and neither is in the group of c/p"):
        read(path, "c/p")
    path = write_hdf5(tmp_path / "b.h5", of__coords=COORDS[::-1], p=SCORES[::-1], a__attn=SCORES[::-1])
    for column in ("p", "a/attn"):
        np.testing.assert_array_equal(read(path, column), SCORES)
    path = write_hdf5(tmp_path / "c.h5", coords=COORDS[None, ::-1], p=SCORES[None, ::-1])
    np.testing.assert_array_equal(read(path), SCORES)


@given(count=st.integers(1, 9).filter(lambda count: count != len(COORDS)), by=st.sampled_from(["coords", "row"]))
@examples(20)
def test_a_score_is_needed_for_each_place(tmp_path_factory, count, by):
    keys = {"coords": COORDS} if by == "coords" else {"row": np.arange(len(COORDS))}
    path = write_hdf5(tmp_path_factory.mktemp("h") / "a.h5", **keys, p=np.ones(count))
    with pytest.raises(InvalidScores, match=rf"column p has {count} rows?, and (x|row) has 5; give a number for each"):
        read(path, "p")


def test_texts_of_hdf5_are_texts(tmp_path):
    words = np.array([f"{score}" for score in SCORES])
    path = write_hdf5(
        tmp_path / "a.h5", stem=[b"a", b"b", b"a", b"a", b"a", b"a"], p=[b"0.5", b"9", *words[1:].astype("S")]
    )
    np.testing.assert_array_equal(read(path), SCORES)


@pytest.mark.parametrize("text", ["sep=;\n{}", '"sep=;"\n{}', "\ufeff{}"])
def test_tables_of_spreadsheets_in_other_languages_are_read(tmp_path, text):
    rows = "".join(f'"{x}";"{y}";"{score}"\n'.replace(".", ",") for (x, y), score in zip(COORDS, SCORES, strict=True))
    (tmp_path / "a.csv").write_text(text.format(f'"x";"y";"p (of a, b, c, d)"\n{rows}'))
    np.testing.assert_array_equal(read(tmp_path / "a.csv"), SCORES)


def test_an_archive_of_arrays_is_no_array(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, p=SCORES)
    with pytest.raises(InvalidScores, match=r"a.npy: holds several arrays, as .npz does; save the one"):
        read(tmp_path / "a.npy")


def test_complex_numbers_have_no_place_on_a_line(tmp_path):
    np.save(tmp_path / "a.npy", SCORES + 1j)
    with pytest.raises(InvalidScores, match=r"column score: \(0.5\+1j\) is no number"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.h5", "a.parquet", "a.txt"])
def test_what_is_no_such_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"no such file")
    with pytest.raises(InvalidScores, match=name):
        read(tmp_path / name)
