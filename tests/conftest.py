"""Fixtures that several test modules share."""

import signal
from pathlib import Path

import pytest
from paths import ROOT, SHARED

BUNDLED_SLIDE = ROOT / "atlaspatch_core" / "data" / "CMU-1-Small-Region.svs"


def pytest_configure() -> None:
    """Let processes that tests start hear Ctrl-C, though a shell that put pytest into the background silenced it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def bundled_slide() -> Path:
    """The real slide that the package carries."""
    return BUNDLED_SLIDE


@pytest.fixture
def shared_slides() -> Path:
    """Folder of further real and broken slides, where it lies beside the repository."""
    folder = SHARED / "slides"
    if not folder.is_dir():
        pytest.skip("the folder of further slides is not beside the repository")
    return folder
