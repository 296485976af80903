"""No file that states two scales gives a wrong one in silence."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rounds import examples
from scale_files import NEAR, ScaleFile, scale_files, sides_of_pixels, write_pixels_of, write_scale_file

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
