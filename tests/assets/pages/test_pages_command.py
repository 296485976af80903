"""``atlaspatch pages`` as a process."""

import signal
import urllib.request
from pathlib import Path

import pytest
from processes import start_cli
from project_files import project_text
from small_projects import paint

from atlaspatch_assets.cli.pages import listen


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a project and a slide that nobody worked on."""
    paint(tmp_path / "slides", "new")
    (tmp_path / "atlaspatch.toml").write_text(project_text())
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_tells_of_the_daemon_and_ends_at_a_signal(folder, number):
    home = {"DAGSTER_HOME": str(folder / "home")}
    with start_cli("pages", "--port", 0, folder=folder, environment=home) as child:
        url = child.stdout.readline().split()[0]
        page = urllib.request.urlopen(url).read().decode()
        child.send_signal(number)
        assert child.wait() == 0

    assert "1 missing" in page
    assert "no heartbeat" in page


def test_a_port_that_is_taken_is_said_in_one_sentence(folder):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with start_cli(
            "pages", "--port", port, folder=folder, environment={"DAGSTER_HOME": str(folder / "home")}
        ) as child:
            _, errors = child.communicate()
            assert child.wait() == 1

    assert errors.strip().endswith("give another --port")
    assert "Traceback" not in errors
