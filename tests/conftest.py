"""Fixtures that several test modules share."""

import gc
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT, SHARED
from power_cuts import ignore_power_cuts
from quick_storage import keep_what_storages_work_out
from rounds import SOAK_MINUTES, share_time, try_fewer

from atlaspatch_core import hidden_names
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.plugins.in_use import use_plugins

BUNDLED_SLIDE = ROOT / "atlaspatch_core" / "data" / "CMU-1-Small-Region.svs"


def is_quick(config: pytest.Config) -> bool:
    """Tell whether the inner loop is asked for: ``-m quick``, or ``make quick``."""
    return config.option.markexpr.split()[:1] == ["quick"]


def pytest_configure(config: pytest.Config) -> None:
    """Let processes that tests start hear Ctrl-C, though a shell that put pytest into the background silenced it.

    Let properties be tried less often in the inner loop, and wait for no disk. What is imported until the tests are
    collected is no garbage: the collector would walk it for a quarter of that time.
    """
    gc.disable()
    ignore_power_cuts()
    keep_what_storages_work_out()
    if is_quick(config):
        try_fewer()
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes ``-n auto`` is: two more than cores, for a test often waits for its children.

    In the inner loop as many as cores: what each process imports would take longer than its tests.
    """
    return usable_cores() + (0 if is_quick(config) else 2)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Give each test of ``make soak`` its share of the time.

    What was imported lives as long as the process, so that the garbage collector need not walk it again and again.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    if SOAK_MINUTES:
        share_time(len(session.items), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules without a quick test, so that the inner loop does not even import them."""
    is_module = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if is_module and is_quick(config) and "pytest.mark.quick" not in collection_path.read_text() else None


@pytest.fixture(autouse=True)
def forgotten_names() -> Iterator[None]:
    """Let no test hide names from those after it: a process that worked under pseudonyms goes on hiding them."""
    factory = logging.getLogRecordFactory()
    yield
    hidden_names._hidden = None
    logging.setLogRecordFactory(factory)


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


@pytest.fixture(autouse=True, scope="module")
def no_plugins_of_other_modules() -> Iterator[None]:
    """Let plugin files that a module named to this process count no more for the next one."""
    yield
    use_plugins(())
