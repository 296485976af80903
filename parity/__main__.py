"""``make parity``: AtlasPatch from PyPI, in an environment of its own, on painted slides; then ours on the same."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from parity.cases import ROOT, Case, checksums, our_command, paint, read_result, shared_options

BUILD = ROOT / "build" / "parity"
VENV = BUILD / "atlaspatch-venv" / "bin"
PAGE = ROOT / "docs" / "parity.md"
RECORDED = ROOT / "tests" / "parity" / "cases"
MARKS = ("<!-- table -->", "<!-- end -->")
VERSION = "1.1.0"
COMMIT = "0" * 40
OURS = "import sys; from atlaspatch_assets.cli.main import main; sys.exit(main())"
BASE: Case = {
    "size": [3008, 2096], "magnification": 20, "levels": [1, 4], "seed": 1, "mask": [131, 188],
    "rects": [[20, 10, 168, 121, 1], [60, 40, 30, 30, 0], [5, 90, 4, 4, 1]],
    "patch_size": 256, "step_size": 256, "target_mag": 20, "tissue_thresh": 0.0,
}  # fmt: skip
PAINTED: tuple[Case, ...] = (
    {**BASE, "name": "as scanned, over the edges"},
    {**BASE, "name": "half the scale, overlap", "target_mag": 10, "step_size": 160, "patch_size": 224},
    {**BASE, "name": "a level of the scale, least area", "target_mag": 5, "patch_size": 64, "step_size": 64,
     "tissue_thresh": 0.01},
    {**BASE, "name": "a level of 3.98, 6x", "levels": [1, 3.98], "target_mag": 6, "patch_size": 96, "step_size": 96},
)  # fmt: skip


class Row(NamedTuple):
    """A line of the table."""

    name: str
    rows: int
    same_rows: bool
    difference: float
    attributes: str
    resumed: str


def run(words: list[str], **more: str) -> str:
    """Run a command and return what it printed; raises CalledProcessError, which shows it."""
    ended = subprocess.run(words, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    if ended.returncode:
        print((ended.stdout + ended.stderr)[-2000:], file=sys.stderr)
        ended.check_returncode()
    return ended.stdout + ended.stderr


def install() -> None:
    """Install AtlasPatch where it is not, and a checkpoint of no weights for the stub of SAM 2."""
    if not (VENV / "atlaspatch").exists():
        run([sys.executable, "-m", "venv", str(VENV.parent)])
        torch = f"torch=={version('torch').partition('+')[0]}"  # the same numbers, and no other download
        run([str(VENV / "pip"), "install", "--quiet", torch])
        run([str(VENV / "pip"), "install", "--quiet", f"atlas-patch=={VERSION}", "openslide-bin", torch])
    model = BUILD / "hub" / "hub" / "models--AtlasAnalyticsLab--AtlasPatch"
    snapshot = model / "snapshots" / COMMIT
    if not snapshot.exists():
        snapshot.mkdir(parents=True)
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text(COMMIT)
        target = str(snapshot / "model.pth")
        run([str(VENV / "python"), "-c", f"import torch; torch.save({{'model': {{}}}}, {target!r})"])


def run_atlaspatch(case: Case, folder: Path, out: Path) -> str:
    """Run AtlasPatch's ``process`` on a case and return what it printed."""
    words = [str(VENV / "atlaspatch"), "process", str(folder / "a.svs"), "-o", str(out), *shared_options(case)]
    mask = {"ATLASPATCH_PARITY_MASK": str(folder / "mask.npy"), "PYTHONPATH": str(ROOT / "parity" / "stub")}
    words += ["--feature-extractors", "seeded", "--feature-num-workers", "0", "-v"]
    return run(words, HF_HOME=str(BUILD / "hub"), HF_HUB_OFFLINE="1", **mask)


def run_ours(words: list[str]) -> str:
    """Run our command line and return what it printed."""
    return run([sys.executable, "-c", OURS, *words], PYTHONPATH=str(ROOT))


def compare(case: Case) -> tuple[Row, Case]:
    """Run a case by both; return the line of the table, and the case with what AtlasPatch gave."""
    folder = BUILD / "slides" / case["name"].replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    paint(case, folder)
    run_atlaspatch(case, folder, folder / "theirs")
    run_ours(our_command({**case, "tool": "atlaspatch"}, folder, folder / "ours"))
    theirs, ours = (folder / name / "patches" / "a.h5" for name in ("theirs", "ours"))
    (their_coords, their_features), (our_coords, our_features) = read_result(theirs), read_result(ours)
    is_same = np.array_equal(their_coords, our_coords)
    difference = float(np.abs(their_features - our_features).max()) if is_same else float("nan")
    row = Row(case["name"], len(their_coords), is_same, difference, attributes(theirs, ours), resume(case, folder))
    return row, {**case, "coords": their_coords.tolist(), "features": checksums(their_features)}


def attributes(theirs: Path, ours: Path) -> str:
    """Return which datasets and attributes of theirs ours lacks or says otherwise."""
    with h5py.File(theirs) as their_file, h5py.File(ours) as our_file:
        ours_named = {*our_file, *our_file.attrs}
        lacking = [name for name in (*their_file, *their_file.attrs) if name not in ours_named]
        both = [name for name in their_file.attrs if name in our_file.attrs]
        other = [name for name in both if our_file.attrs[name] != their_file.attrs[name]]
    words = {"lacking": lacking, "other": other}
    return "; ".join(f"{word} {', '.join(names)}" for word, names in words.items() if names)


def resume(case: Case, folder: Path) -> str:
    """Return whether AtlasPatch takes our file as its own and leaves it as it is."""
    ours = folder / "ours" / "patches" / "a.h5"
    before = ours.read_bytes()
    run_atlaspatch(case, folder, folder / "ours")
    return "reused" if ours.read_bytes() == before else "**changed**"


def write_page(rows: list[Row]) -> None:
    """Write the table between the marks of the page."""
    names = ("painted slide", "rows", "same, in order", "largest difference of a feature", "attributes", "on our file")
    lines = [f"AtlasPatch {VERSION}:", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        same, attributes = "yes" if row.same_rows else "**no**", row.attributes or "same"
        cells = (row.name, str(row.rows), same, f"{row.difference:.1e}", attributes, row.resumed)
        lines.append(f"| {' | '.join(cells)} |")
    text = PAGE.read_text()
    start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    PAGE.write_text(text[:start] + "\n" + "\n".join(lines) + "\n" + text[end:])


def main() -> int:
    """Compare all, write the page and the cases; return 1 where rows or features differ."""
    install()
    results = [compare(case) for case in PAINTED]
    rows = [row for row, _ in results]
    write_page(rows)
    recorded = {"tool": "atlaspatch", "version": VERSION, "cases": [case for _, case in results]}
    (RECORDED / f"atlaspatch-{VERSION}.json").write_text(json.dumps(recorded) + "\n")
    print(*rows, sep="\n")
    return 0 if all(row.same_rows and row.difference < 1e-6 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
