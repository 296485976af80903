"""A small cohort that the real command encoded, for tests of what Python reads of it."""

from pathlib import Path

from exporting import paint
from tracked_folders import encode

PATCHES = {"a": 4, "b": 3, "c": 2, "d": 5, "none": 0}
"""Stem to the number of patches."""
ENCODERS = ("--patch-encoders", "tiny,other", "--slide-encoders", "mean-tiny")


def encode_cohort(folder: Path) -> Path:
    """Encode the slides with two patch encoders and a slide encoder, and return the output folder."""
    (folder / "slides").mkdir()
    for stem, patches in PATCHES.items():
        paint(folder / "slides", stem, patches)
    result = encode(folder, *ENCODERS)
    assert result.exit_code == 0, result.output
    return folder / "out"
