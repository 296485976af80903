"""``python -m supply.wheel FOLDER``: build the wheel with its bill of materials, CycloneDX, where PEP 770 wants it.

It names what is locked for an installation without extras, with the checksums of each file.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from supply.locked import ROOT, export

NAME = "atlaspatch.cdx.json"


def run_python(*words: object) -> None:
    """Run a module of this environment, quietly."""
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def add_bill(wheel: Path, bill: str) -> None:
    """Put a bill of materials into a wheel, in its place, and into the list of its files."""
    with tempfile.TemporaryDirectory() as name:
        run_python("wheel", "unpack", wheel, "--dest", name)
        (unpacked,) = Path(name).iterdir()
        (information,) = unpacked.glob("*.dist-info")
        (information / "sboms").mkdir()
        (information / "sboms" / NAME).write_text(bill, encoding="utf-8")
        run_python("wheel", "pack", unpacked, "--dest-dir", wheel.parent)


def build(folder: Path, *words: str, source: Path = ROOT) -> Path:
    """Return the wheel of a checkout, built into a folder; ``words`` are options of ``python -m build``."""
    bill = export("--format=cyclonedx1.5", "--preview-features=sbom-export", folder=source)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run_python("build", "--wheel", "--outdir", name, *words, source)
        (built,) = Path(name).glob("*.whl")
        add_bill(built, bill)
        return built.rename(folder / built.name)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    print(build(Path(sys.argv[1])))
