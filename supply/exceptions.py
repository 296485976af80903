"""What is allowed, and what is excepted from it with a reason, as ``exceptions.toml`` states it."""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Exceptions:
    """Allowed licenses, and the reasons for packages and vulnerabilities that are excepted."""

    allowed: frozenset[str]
    licenses: dict[str, str]
    """Name of a package, or a pattern, to the reason."""
    vulnerabilities: dict[str, str]
    """Identifier to the reason."""

    def reason_for(self, package: str) -> str | None:
        """Return why a package may have another license, or None."""
        return next((why for name, why in self.licenses.items() if fnmatchcase(package, name)), None)


def read_exceptions() -> Exceptions:
    """Return what the file states."""
    stated = tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text(encoding="utf-8"))
    return Exceptions(frozenset(stated["allowed"]), stated["licenses"], stated["vulnerabilities"])
