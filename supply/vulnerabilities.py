"""``python -m supply.vulnerabilities``: fail by name what is locked and has a known vulnerability.

Without a network nothing can be looked up: that is said, and is no failure.
"""

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supply.exceptions import read_exceptions
from supply.locked import export, run_uv

PIP_AUDIT = "pip-audit==2.10.1"
ASKED = "https://pypi.org/pypi/pip/json"
"""Where pip-audit asks for vulnerabilities: an address of the same kind."""


def network_fault() -> str | None:
    """Return why vulnerabilities cannot be looked up, or None."""
    try:
        with urllib.request.urlopen(ASKED, timeout=20):
            return None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        return f"{ASKED}: {error}"


def audit() -> subprocess.CompletedProcess[str]:
    """Run pip-audit on everything that is locked, of all extras; nothing is installed but pip-audit, apart."""
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "locked.txt"
        locked.write_text(export("--all-extras"), encoding="utf-8")
        words = ["--requirement", str(locked), "--require-hashes", "--disable-pip", "--format=json"]
        return run_uv("tool", "run", PIP_AUDIT, *words)


def judge(found: Mapping[str, Any], accepted: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return a line for each vulnerability that is not accepted, and the packages that could not be looked up."""
    packages = found["dependencies"]
    lines = [
        f"{package['name']} {package['version']}: {fault['id']}; fixed in {', '.join(fault['fix_versions']) or 'none'}"
        for package in packages
        for fault in package.get("vulns", ())
        if not {fault["id"], *fault.get("aliases", ())} & accepted.keys()
    ]
    return lines, [package["name"] for package in packages if "skip_reason" in package]


def main() -> int:
    """Print what was found, and return the exit code."""
    if fault := network_fault():
        print(f"Vulnerabilities: NOT LOOKED UP, as the network is missing ({fault}).")
        return 0
    done = audit()
    if not done.stdout.startswith("{"):
        print(f"Vulnerabilities: pip-audit failed.\n{done.stderr.strip()}")
        return 1
    found = json.loads(done.stdout)
    wrong, skipped = judge(found, read_exceptions().vulnerabilities)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    count = len(found["dependencies"]) - len(skipped)
    print(f"Vulnerabilities: {count} packages looked up, {len(wrong)} found.")
    if skipped:
        print(f"NOT LOOKED UP, as the index does not tell of them: {len(skipped)} ({', '.join(skipped[:5])} ...).")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
