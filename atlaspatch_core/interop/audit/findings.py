"""What an audit finds: one line each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

COLUMNS = ("severity", "kind", "slide", "file", "value", "bound", "text", "cure")


class AuditSeverity(StrEnum):
    """How bad it is."""

    PROBLEM = "problem"
    """Results are wrong, lost or unusable, or about to be."""
    NOTE = "note"
    """Good to know; nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of finding."""

    name: str
    cure: str
    severity: AuditSeverity = AuditSeverity.PROBLEM


NOTE = AuditSeverity.NOTE
AGAIN = "compute it again"
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("unreadable", "restore it from a backup, or delete it and compute it again"),
        Kind("damaged", "--mark-damaged has the next run compute it anew, and changes nothing else"),
        Kind("damaged_outlines", "restore them from a backup: a person drew them, and no run can make them"),
        Kind("damaged_export", "move it away and export it again"),
        Kind("outlines_changed", "if a person saved them, run again; if not, move them away and run again"),
        Kind("without_checksum", "--add-checksums records what lies there now, so that later damage is found", NOTE),
        Kind("no_coords", "put the coords back, or compute the features again"),
        Kind("half_written", "delete it and compute it again"),
        Kind("rows", "compute the features again from these coords"),
        Kind("other_coords", "compute the features again from these coords"),
        Kind("not_finite", "compute it again in float32"),
        Kind("zero_tail", "the file was left half-written; compute it again"),
        Kind("zero_rows", "look at these patches; compute the features again"),
        Kind("norms", "look at the longest ones; compute the features again", NOTE),
        Kind("constant", "check the encoder's weights and compute it again"),
        Kind("not_float", "compute it again"),
        Kind("dtype", "readers that expect float32 have to convert it", NOTE),
        Kind("twice", "keep each patch once and compute the features again"),
        Kind("negative", "compute the coords again"),
        Kind("outside", "check that it is the coords of this slide, and compute them again"),
        Kind("size_unknown", "name the slides (--slides) to have the coords held against them", NOTE),
        Kind("other_size", "it belongs to another slide of the same name; compute it again"),
        Kind("other_name", "it belongs to another slide; move it back"),
        Kind("empty", "look at its tissue mask", NOTE),
        Kind("folder_name", "move it to the folder of its geometry, or compute it again"),
        Kind("exact_scale", "nothing to do: readers take the size of a patch from the file", NOTE),
        Kind("mixed_geometry", "separate the geometries into folders, or compute it again"),
        Kind("true_scale", "slides differ in true scale; compute them with --scale true", NOTE),
        Kind("mixed_dims", "another network made it; compute it again with the one of the others"),
        Kind("mixed_dtypes", "compute them with one precision", NOTE),
        Kind("stem_clash", "rename one of the slides and compute both again"),
        Kind("same_content", "remove one of the slides, or leave it out of statistics"),
        Kind("lock", "delete it when no process of the tool that left it is running"),
        Kind("lock_held", "wait for it", NOTE),
        Kind("temporary", "delete it when no run is going on"),
        Kind("config", "compute the results of one of the runs again"),
        Kind("config_unreadable", "delete it; the next run writes it anew"),
        Kind("missing", "compute it"),
        Kind("no_features", "compute the features", NOTE),
        Kind("no_slide", "name the folder of this slide too, or delete its results", NOTE),
        Kind("slide_unreadable", "restore the slide, or take it away"),
        Kind("stale", "'atlaspatch encode-slide', or a run of the project, computes it anew"),
        Kind("failed", "see why, and run again"),
        Kind("unverified", "'atlaspatch adopt --verify' proves it, --accept-unverified takes it as it is"),
        Kind("accepted", "'atlaspatch encode-slide --force' computes it anew", NOTE),
        Kind("unverifiable", "'atlaspatch adopt --verify' proves features on a sample of patches", NOTE),
        Kind("not_in_project", "add a [[geometry]], or leave these results where they are", NOTE),
    )
}


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that is wrong, or good to know."""

    kind: str
    """One of ``KINDS``."""
    slide: str
    """Stem, or empty where it concerns the folder."""
    file: Path
    text: str
    """One clause with the value and its bound."""
    value: str = ""
    bound: str = ""

    @property
    def severity(self) -> AuditSeverity:
        """How bad it is."""
        return KINDS[self.kind].severity

    def row(self, folder: Path) -> tuple[str, ...]:
        """Return texts in the order of ``COLUMNS``, the file as seen from ``folder``."""
        file = self.file.relative_to(folder) if self.file.is_relative_to(folder) else self.file
        cure = KINDS[self.kind].cure
        return (str(self.severity), self.kind, self.slide, str(file), self.value, self.bound, self.text, cure)

    def line(self, folder: Path) -> str:
        """Return one line for people."""
        severity, kind, slide, file, _, _, text, cure = self.row(folder)
        where = file if not slide else f"{slide}: {file}"
        return f"{severity.upper():7}  {kind}  {where}: {text}; {cure}"


def problems(findings: Iterable[AuditFinding]) -> int:
    """Return how many findings are problems."""
    return sum(finding.severity is AuditSeverity.PROBLEM for finding in findings)
