"""An installed package that declares plugins: all commands know what they declare, and nobody names a file."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from extensions import PAGE, states
from shown_code import files
from tracked_folders import paint

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli

PACKAGE = "atlaspatch_example_package"
MODULES = ("contrast", "spread", "places")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages with one that has the plugins of the page."""
    site = tmp_path / "site"
    (site / PACKAGE).mkdir(parents=True)
    (site / PACKAGE / "__init__.py").touch()
    for name in MODULES:
        (site / PACKAGE / f"{name}.py").write_text(files(PAGE)[f"{name}.py"])
    info = site / f"{PACKAGE}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
    lines = (f"{name} = {PACKAGE}.{name}" for name in MODULES)
    (info / "entry_points.txt").write_text("\n".join(("[atlaspatch.plugins]", *lines)))
    monkeypatch.syspath_prepend(site)
    yield site
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_what_a_package_declares_is_known_without_a_file(site: Path, tmp_path: Path):
    paint(tmp_path / "slides", "a")
    out = str(tmp_path / "out")
    grid = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu"]
    words = ["encode-slide", str(tmp_path / "slides"), "--output", out, *grid, "--slide-encoders", "spread"]
    encoded = CliRunner().invoke(cli, words)
    assert encoded.exit_code == 0, encoded.output
    assert ap.results(out).embedding("a", "spread").shape == (6,)
    assert states(tmp_path, "patch_features/contrast") == {"a": "fresh"}

    exported = CliRunner().invoke(cli, ["export", "--output", out, "--layout", "places", "--to", str(tmp_path / "to")])
    assert exported.exit_code == 0, exported.output
    assert (tmp_path / "to" / "a.csv").read_text().startswith("x,y\n")


def test_a_package_that_cannot_be_imported_is_named(site: Path, tmp_path: Path):
    (site / PACKAGE / "places.py").write_text("1 / 0")
    to = ["--layout", "places", "--to", str(tmp_path / "to")]
    result = CliRunner().invoke(cli, ["export", "--output", str(tmp_path), *to])
    assert result.exit_code == 2
    said = f"the plugin places ({PACKAGE}.places) fails when it is imported: ZeroDivisionError: division by zero, at"
    assert said in " ".join(result.output.split())
