"""What is said in the place of names that are hidden, by errors and by log records."""

import io
import logging

import pytest
from pseudonyms import hiding

from atlaspatch_core.errors import InvalidProject, Unexpected, UnreadableSlide
from atlaspatch_core.hidden_names import hide_names, without_hidden_names

pytestmark = pytest.mark.quick


@pytest.fixture
def hidden(tmp_path):
    with hiding(tmp_path / "cache"):
        hide_names({"Smith John.svs": "P1.svs", "Smith John": "P1", "Li": "P2", "1234": "P3"})
        yield


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/scans/Smith John.svs is cut short", "/scans/P1.svs is cut short"),
        ("Smith John_mask.png", "P1_mask.png"),
        ("Smith Johnson", "Smith Johnson"),
        ("Lichen of 1234 px, Li", "Lichen of 1234 px, Li"),
    ],
)
def test_names_are_replaced_where_they_stand_alone(hidden, text, shown):
    assert without_hidden_names(text) == shown
    assert str(InvalidProject(text)) == shown


def raised(kind: type[Exception], cause: Exception, text: str) -> Exception:
    try:
        raise kind(text) from cause
    except kind as error:
        return error


def test_errors_about_slides_name_the_kind_of_an_error_and_not_its_words(hidden):
    cause = ValueError("no float: 'Jones^Mary'")
    assert (
        str(raised(UnreadableSlide, cause, f"P1: is damaged ({cause}); copy it"))
        == "P1: is damaged (ValueError); copy it"
    )
    assert str(raised(Unexpected, cause, f"P1: failed: {cause!r}")) == "P1: failed: ValueError"
    assert str(raised(InvalidProject, cause, f"a.toml: {cause}")) == "a.toml: no float: 'Jones^Mary'"


def test_errors_are_as_they_were_where_nothing_is_hidden():
    cause = ValueError("no float: 'Jones^Mary'")
    assert str(raised(UnreadableSlide, cause, f"P1: is damaged ({cause})")) == "P1: is damaged (no float: 'Jones^Mary')"


def test_records_have_no_words_of_libraries_and_tracebacks_no_words_at_all(hidden):
    log, lines = logging.getLogger("atlaspatch_core.test"), io.StringIO()
    handler = logging.StreamHandler(lines)
    for name in ("atlaspatch_core.test", "tifffile"):
        logging.getLogger(name).addHandler(handler)
    try:
        logging.getLogger("tifffile").error("<TiffFile %r> of Jones^Mary", "Smith John.svs")
        try:
            raise ValueError("Jones^Mary")
        except ValueError:
            log.exception("%s: slide failed", "Smith John")
    finally:
        for name in ("atlaspatch_core.test", "tifffile"):
            logging.getLogger(name).removeHandler(handler)
    assert "what tifffile says of a slide is not shown" in lines.getvalue()
    assert "P1: slide failed" in lines.getvalue()
    assert "ValueError" in lines.getvalue()
    assert not any(name in lines.getvalue().replace('"Jones^Mary"', "") for name in ("Smith", "Jones"))
