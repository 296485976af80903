"""A lab of small slides with everything that the commands which write begin with, and these commands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from foreign_folders import trident_job
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER
from processes import run_cli
from project_files import project_text

STEMS = ("a", "b")
OPTIONS = "--patch-size 256 --target-mag 20 --device cpu --feature-precision float32 --feature-plugin plugin.py"
GEOMETRY = 'slide_encoders = ["mean-tiny"]\nprecision = "float32"'
NAMED = project_text(geometry=f'name = "named"\n{GEOMETRY}').replace("output =", 'plugins = ["plugin.py"]\noutput =', 1)
PLAIN = project_text(geometry=GEOMETRY).replace("output =", 'plugins = ["plugin.py"]\noutput =', 1)


@dataclass(frozen=True)
class Command:
    """A command that writes, and what it begins with."""

    words: str
    on_results: bool = False
    """It begins with the results of ``materialize``."""
    writes: str = "output"
    """The folder, below the lab, that it writes into."""
    code: int = 0
    """What it ends with: ``adopt`` leaves features of eight dims out."""


COMMANDS: Mapping[str, Command] = {
    "encode-slide": Command(f"encode-slide slides -o output {OPTIONS} --slide-encoders mean-tiny --visualize-grids"),
    "encode-slide --gpus": Command(f"encode-slide slides -o output {OPTIONS} --patch-encoders tiny --gpus -1 --gpus -1"
                                   .replace("--device cpu", "")),
    "run": Command("run --task all --wsi-dir slides --job-dir output --mag 20 --patch-size 256 --patch-encoder tiny "
                   "--segmenter otsu --feature-plugin plugin.py --gpus -1"),
    "encode-patient": Command(f"encode-patient cases.csv -o output {OPTIONS} --patient-encoders mean-tiny"),
    "materialize": Command("materialize --project atlaspatch.toml"),
    "backfill": Command("backfill --project atlaspatch.toml --missing"),
    "convert": Command("convert slides --to output/converted", writes="output/converted"),
    "adopt": Command("adopt job -o output --slides slides --accept-unverified", code=1),
    "report": Command("report --project atlaspatch.toml", on_results=True),
    "carry-over": Command("carry-over --project named.toml", on_results=True),
    "record": Command("record --project named.toml", on_results=True),
    "export trident": Command("export --project atlaspatch.toml --layout trident --pt --to exported", True, "exported"),
    "export clam": Command("export --project atlaspatch.toml --layout clam --to exported", True, "exported"),
    "export pt": Command("export --project atlaspatch.toml --layout pt --to exported", True, "exported"),
    "export anndata": Command("export --project atlaspatch.toml --layout anndata --to exported", True, "exported"),
    "export parquet": Command("export --project atlaspatch.toml --layout parquet --to exported", True, "exported"),
    "export geojson": Command("export --project atlaspatch.toml --layout geojson --to exported", True, "exported"),
}  # fmt: skip


def make_lab(folder: Path) -> None:
    """Make a folder of slides, a plugin, projects, a table of cases and TRIDENT's results."""
    (folder / "slides").mkdir()
    for number, stem in enumerate(STEMS):
        paint_slide(folder / "slides" / f"{stem}.svs", stain(white(1024, 1024), 256, 256, 512, 512 - 128 * number))
    (folder / "plugin.py").write_text(TINY_ENCODER)
    (folder / "atlaspatch.toml").write_text(PLAIN)
    (folder / "named.toml").write_text(NAMED)
    (folder / "cases.csv").write_text("case_id,slide_path\n1,slides/a.svs\n1,slides/b.svs\n2,slides/b.svs\n")
    trident_job(folder / "job", *STEMS)


def make_results(folder: Path) -> None:
    """Make the lab, and the results of its project."""
    make_lab(folder)
    done = run_cli("materialize", "--project", "atlaspatch.toml", folder=folder, environment=home_of(folder))
    assert done.returncode == 0, done.stdout + done.stderr


def home_of(folder: Path) -> dict[str, str]:
    """Return the environment in which the lab's history lies in it."""
    return {"DAGSTER_HOME": str(folder / "home")}


def contents(folder: Path) -> dict[str, Any]:
    """Return what lies in a folder: datasets of HDF5 by their bytes, of other files that they are there.

    Every HDF5 and JSON file is opened, which fails on one that is not whole. What says when, and by which run, is left
    out.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name.endswith(".tmp") or name.startswith(("runs/", ".")) or "/." in name:
            continue
        if path.suffix in {".h5", ".h5ad"}:
            found[name] = arrays_of(path)
        elif path.suffix in {".json", ".geojson"}:
            json.loads(path.read_bytes())
            found[name] = path.read_bytes() if path.suffix == ".geojson" else True
        elif path.suffix != ".lock":
            found[name] = True
    return found


def arrays_of(path: Path) -> dict[str, bytes]:
    arrays: dict[str, bytes] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: arrays.update({name: np.asarray(item[()]).tobytes()})
            if isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype != object else None
        )  # fmt: skip
    return arrays


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what was there before and is gone or other."""
    return [
        f"{name} {part}".strip()
        for name, value in before.items()
        for part in (value if isinstance(value, dict) else [""])
        if (after.get(name, {}).get(part) != value[part] if part else after.get(name) != value)
    ]
