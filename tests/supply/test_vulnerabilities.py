"""Known vulnerabilities fail by name; what could not be looked up is told apart from what is sound."""

import pytest

from supply import vulnerabilities
from supply.vulnerabilities import judge, main, network_fault

pytestmark = pytest.mark.quick
FOUND = {
    "dependencies": [
        {"name": "a", "version": "1", "vulns": []},
        {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3"]}]},
        {"name": "c", "skip_reason": "not on the index"},
    ]
}


def test_a_vulnerability_fails_unless_it_is_accepted_by_one_of_its_names():
    assert judge(FOUND, {}) == (["b 2: PYSEC-1; fixed in 3"], ["c"])
    assert judge(FOUND, {"CVE-1": "of a part that is not used"}) == ([], ["c"])


def test_a_missing_network_is_told_and_is_no_failure(monkeypatch, capsys):
    monkeypatch.setattr(vulnerabilities, "ASKED", "http://127.0.0.1:9/nobody")
    assert network_fault() is not None
    assert main() == 0
    assert "NOT LOOKED UP, as the network is missing (http://127.0.0.1:9/nobody" in capsys.readouterr().out
