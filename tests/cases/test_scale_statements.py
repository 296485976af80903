"""No file that states two scales gives a wrong one in silence."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rounds import examples
from scale_files import (
    NEAR,
    ScaleFile,
    scale_files,
    sides_of_pixels,
    units,
    write_in_unit,
    write_pixels_of,
    write_scale_file,
)

from atlaspatch_core.errors import ImplausibleScale, UnknownScale
from atlaspatch_core.slides import open_slide

pytestmark = pytest.mark.quick


def told(file: ScaleFile) -> tuple[float | None, str]:
    """Return the µm/px that is taken, None where the slide is refused, and what is said of it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with open_slide(write_scale_file(Path(folder), file)) as slide:
                return slide.info.mpp, slide.info.scale_note
        except (ImplausibleScale, UnknownScale) as error:
            return None, str(error)


def names(said: str, mpp: float) -> bool:
    """Tell whether a sentence holds a number, as rounded as it may be."""
    return any(abs(float(number) / mpp - 1) < 0.001 for number in re.findall(r"\d+\.\d+|\d+", said) if float(number))


@given(file=scale_files())
@examples(150)
def test_a_scale_is_true_or_what_contradicts_it_is_named(file: ScaleFile):
    mpp, said = told(file)
    if mpp is None:
        assert "--mpp-csv" in said, said
        assert not file.contradicted_by or all(names(said, wrong) for wrong in file.contradicted_by[:1]), said
    elif max(mpp / file.mpp, file.mpp / mpp) > NEAR:
        lone = file.text_mpp is None or (file.tags_mpp is None and file.kind == "plain")
        assert lone or names(said, file.mpp), f"{mpp} instead of {file.mpp}: {said!r}"
    else:
        assert all(names(said, wrong) for wrong in file.contradicted_by), said
    if not file.contradicted_by and file.text_mpp and file.text_size == file.size:
        assert mpp == pytest.approx(file.mpp, rel=NEAR - 1), said


@given(sides=sides_of_pixels(), reader=st.sampled_from(["openslide", "tiff"]))
@examples(80)
def test_pixels_that_are_not_square_are_named_or_refused(sides: tuple[float, float], reader: str):
    skew = abs(sides[0] - sides[1]) / max(sides)
    assume(min(abs(skew - 0.01), abs(skew - 0.1)) > 1e-4)
    with tempfile.TemporaryDirectory() as folder:
        path = write_pixels_of(Path(folder) / "a.tiff", sides)
        try:
            with open_slide(path, reader=reader) as slide:
                mpp, said = slide.info.mpp, slide.info.scale_note
        except ImplausibleScale as error:
            mpp, said = None, str(error)
    assert (mpp is None) == (skew > 0.1)
    if skew > 0.01:
        assert all(names(said, side) for side in sides), said
    if mpp is not None:
        assert mpp == pytest.approx(sum(sides) / 2 if skew > 0.01 else sides[0], rel=1e-4)


@given(stated=units(), mpp=st.floats(0.2, 1.0))
@examples(40)
def test_a_width_counts_in_the_unit_that_it_is_stated_in(stated: tuple[str, str, float | None], mpp: float):
    writer, unit, um = stated
    with tempfile.TemporaryDirectory() as folder:
        path = write_in_unit(Path(folder), writer, unit, um or 1.0, mpp)
        if um is None:
            with pytest.raises(UnknownScale, match=unit if writer == "ome" else "neither"):
                open_slide(path)
            return
        with open_slide(path) as slide:
            assert slide.info.mpp == pytest.approx(mpp, rel=1e-4)


@given(mpp=st.floats(0.2, 1.0), user=st.floats(0.2, 1.0))
@examples(30)
def test_a_stated_scale_counts_and_what_it_contradicts_is_named(mpp: float, user: float):
    assume(abs(max(mpp / user, user / mpp) - 1.25) > 0.001)
    with tempfile.TemporaryDirectory() as folder:
        path = write_pixels_of(Path(folder) / "a.tiff", (mpp, mpp))
        with open_slide(path, mpp=user, mpp_source="mpp csv") as slide:
            assert slide.info.mpp == user
            assert ("mpp csv" in slide.info.scale_note) == (max(mpp / user, user / mpp) > 1.25)
            assert not slide.info.scale_note or names(slide.info.scale_note, mpp)


def test_pixels_that_the_user_calls_square_are_named_where_the_file_says_otherwise(tmp_path: Path):
    with open_slide(write_pixels_of(tmp_path / "a.tiff", (0.5, 0.25)), mpp=0.5) as slide:
        assert "unlike pixels of 0.5 × 0.25 µm" in slide.info.scale_note


def test_a_scale_that_the_magnification_alone_tells_is_no_measured_one(tmp_path: Path):
    text = ScaleFile("aperio", (64, 64), 0.5, (64, 64), None, None).text + "|AppMag = 20"
    with open_slide(write_pixels_of(tmp_path / "a.svs", None, text)) as slide:
        assert slide.info.mpp == 0.5
        assert "no µm/px is stated: 0.5 is what scans of its magnification" in slide.info.scale_note
