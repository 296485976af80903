"""What other tools gave of painted slides lies in ``tests/parity/cases``; the command gives the same."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from paths import ROOT

from atlaspatch_core.cli.main import cli
from atlaspatch_core.patches.grid_spec import HABITS
from parity.cases import Case, checksums, our_command, paint, read_cases, read_result

CASES = read_cases(Path(__file__).parent / "cases")


@pytest.mark.quick
def test_the_page_says_what_goes_with_each_rule():
    rows = [line for line in (ROOT / "docs" / "parity.md").read_text().splitlines() if "`--rule" in line]
    for rule, habits in HABITS.items():
        [row] = [row for row in rows if f"| `--rule {rule}` |" in row]
        assert f"| `--edge {habits.edge}` | `--resample {habits.resample}` |" in row
    assert len(rows) == len(HABITS)


def test_there_are_cases():
    assert CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_command_gives_rows_and_features_of_the_tool(case: Case, tmp_path: Path):
    paint(case, tmp_path)
    result = CliRunner().invoke(cli, our_command(case, tmp_path, tmp_path / "out"))
    assert result.exit_code == 0, result.output
    coords, features = read_result(tmp_path / "out" / "patches" / "a.h5")
    assert coords.tolist() == case["coords"]
    for name, numbers in checksums(features).items():
        assert np.allclose(numbers, case["features"][name], rtol=1e-5, atol=2e-6), name
