"""Results of ours that were taken over from elsewhere without proof."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from atlaspatch_core.interop.audit.files import InspectedFile
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.layouts.hdf5_files import CANNOT, opened
from atlaspatch_core.storage.hdf5 import read_claims


def marks_of(inspected: Iterable[InspectedFile]) -> Iterator[AuditFinding]:
    """Yield results that are unverified, and those that a person took as they are."""
    for entry in inspected:
        for name, spec, claim in _claims(entry.file.path):
            origin = claim.get("origin") or spec.get("origin", "elsewhere")
            if spec.get("unverified"):
                text = f"{name} was adopted from {origin}, unverified ({spec.get('reason', 'not proven')})"
                yield AuditFinding("unverified", entry.file.stem, entry.file.path, text, "unverified", "verified")
            elif accepted := claim.get("accepted"):
                text = (
                    f"{name} was adopted from {origin}, accepted without proof by {accepted['by']} at {accepted['at']}"
                )
                yield AuditFinding("accepted", entry.file.stem, entry.file.path, text, "accepted", "verified")


def _claims(path: Path) -> Iterator[tuple[str, dict, dict]]:
    try:
        with opened(path) as file:
            yield from read_claims(file)
    except CANNOT:
        return
