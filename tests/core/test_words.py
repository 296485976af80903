"""The core computes for whoever calls it: it does not speak of the platform above it."""

import pytest
from paths import ROOT

CORE = ROOT / "atlaspatch_core"
HELP_PAGES = {CORE / "cli" / f"{name}.py" for name in ("report", "estimate", "doctor", "status")}
"""Their help tells of ``DAGSTER_HOME``, which a user may have set."""

pytestmark = pytest.mark.quick


def test_no_module_of_the_core_speaks_of_dagster():
    speaking = [path for path in CORE.rglob("*.py") if "dagster" in path.read_text(encoding="utf-8").lower()]
    assert set(speaking) == HELP_PAGES | {CORE / "__init__.py"}
