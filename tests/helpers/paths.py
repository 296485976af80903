"""Where the tests find this repository and the data beside them."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
"""Slides and awkward files that tests may read where they exist."""

HELPERS = Path(__file__).parent
