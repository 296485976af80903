"""What of the log a person sees."""

import logging
import warnings

import pytest

from atlaspatch_core.cli.logs import logging_to_stderr

log = logging.getLogger("atlaspatch_core.somewhere")


def test_an_equal_warning_appears_once(capsys: pytest.CaptureFixture[str]):
    with logging_to_stderr(verbose=False):
        for name in ("cuda", "cuda", "mps"):
            log.warning("%s is not available", name)
        log.info("a detail")
    log.warning("nobody listens any more")
    assert capsys.readouterr().err == "WARNING: cuda is not available\nWARNING: mps is not available\n"


def test_a_traceback_is_shown_to_those_who_ask(capsys: pytest.CaptureFixture[str]):
    for verbose, lines in ((False, 1), (True, 6)):
        with logging_to_stderr(verbose):
            try:
                raise ValueError("two\nlines")
            except ValueError as error:
                log.exception("failed: %s", error)
        said = capsys.readouterr().err
        assert (len(said.splitlines()) >= lines, "Traceback" in said) == (True, verbose)


def test_warnings_of_libraries_are_details(capsys: pytest.CaptureFixture[str]):
    warnings.simplefilter("always")
    for verbose in (False, True):
        with logging_to_stderr(verbose):
            warnings.warn("this will change", FutureWarning, stacklevel=1)
        assert ("this will change" in capsys.readouterr().err) == verbose
