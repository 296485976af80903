"""``python -m supply.licenses``: fail by name what is installed under a license that nobody allowed."""

import json
import re
import subprocess
import sys
from collections.abc import Set

from supply.exceptions import Exceptions, read_exceptions

OURS = "atlaspatch"


def is_allowed(text: str, allowed: Set[str]) -> bool:
    """Tell whether a license is allowed: of an SPDX expression, or of classifiers separated by semicolons.

    Of terms that are joined by AND all must be, of those joined by OR one.
    """
    terms = re.split(r" AND |;", text.partition("\n")[0])
    return all(any(one.strip(" ()") in allowed for one in term.split(" OR ")) or term in allowed for term in terms)


def installed_licenses() -> dict[str, str]:
    """Return the license of each package of this environment, as it states it."""
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {entry["Name"]: entry["License"] for entry in listed if entry["Name"] != OURS}


def refused(licenses: dict[str, str], exceptions: Exceptions) -> dict[str, str]:
    """Return the packages whose license is neither allowed nor excepted, with it."""
    return {
        package: text.partition("\n")[0]
        for package, text in licenses.items()
        if not is_allowed(text, exceptions.allowed) and exceptions.reason_for(package) is None
    }


def main() -> int:
    """Print what is refused, and return the exit code."""
    licenses = installed_licenses()
    wrong = refused(licenses, read_exceptions())
    for package, text in wrong.items():
        print(f"{package}: its license is {text}; do without it, or state in supply/exceptions.toml why it may stay")
    print(f"Licenses: {len(licenses)} packages, {len(wrong)} refused.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
