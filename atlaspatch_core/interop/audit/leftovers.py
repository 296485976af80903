"""What runs leave behind: locks, temporary files, and settings that disagree."""

import json
import os
import re
import socket
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any

from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.layouts.found import FolderLayout, ResultFolder
from atlaspatch_core.layouts.names import GeometryName
from atlaspatch_core.storage.paths import LOCK_FOLDER
from atlaspatch_core.texts import parse_json

TEMPORARY = re.compile(r".*\.tmp(\.[0-9a-f]+)?|.*\.h5\.tmp\..*|.*\.part")
DECIDING = {
    "segmentation": ("segmenter", "seg_conf_thresh", "remove_holes", "remove_artifacts", "remove_penmarks"),
    "coords": ("mag", "patch_size", "overlap", "min_tissue_proportion"),
}
"""Arguments of TRIDENT's runs that decide results and that it never compares with what lies there."""
DEFAULTS = {"remove_holes": False, "remove_artifacts": False, "remove_penmarks": False, "min_tissue_proportion": 0.0}


def leftovers(result_folder: ResultFolder) -> Iterator[AuditFinding]:
    """Yield orphan locks and temporary files, and runs that wrote into one folder with different settings."""
    for folder, folders, names in os.walk(result_folder.folder):
        folders[:] = sorted(name for name in folders if name != LOCK_FOLDER)  # the kernel frees those by itself
        for name in sorted(names):
            yield from _leftover(Path(folder) / name)
    if result_folder.layout is FolderLayout.TRIDENT:
        yield from _configs(result_folder)
        yield from _runs(result_folder)
        yield from _states(result_folder)


def _leftover(path: Path) -> Iterator[AuditFinding]:
    if path.suffix == ".lock":
        yield _lock(path)
    elif TEMPORARY.fullmatch(path.name):
        age, size = _age(path), path.stat().st_size
        yield AuditFinding(
            "temporary", "", path, f"{size:,} bytes were left {age} ago by a run that did not end", str(size)
        )


def _lock(path: Path) -> AuditFinding:
    """Return what a lock is: that of a process that runs on this machine, or one that nobody holds."""
    stem = path.name.removesuffix(".lock").removesuffix("_patches")
    stem = Path(stem).stem if Path(stem).suffix in (".h5", ".jpg") else stem
    stem = stem.removesuffix("_patches")
    pid, host = _holder(path)
    here = host in ("", socket.gethostname())
    if pid and here and _runs_now(pid):
        return AuditFinding("lock_held", stem, path, f"process {pid} of this machine runs", str(pid))
    who = f"process {pid}{f' of {host}' if host else ''}" if pid else "a process that it does not name"
    state = "is gone" if pid and here else "may be gone"
    return AuditFinding(
        "lock", stem, path, f"{who} left it {_age(path)} ago and {state}; the slide will be skipped", str(pid or "")
    )


def _holder(path: Path) -> tuple[int, str]:
    """Return process and machine as a lock names them: as JSON, or as ``pid=…,…``; 0 where it does not."""
    try:
        text = path.read_text(errors="replace")[:4096]
    except OSError:
        return 0, ""
    try:
        values = parse_json(text)
        return int(values["pid"]), str(values.get("hostname", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        match = re.search(r"pid=(\d+)", text)
        return (int(match[1]) if match else 0), ""


def _runs_now(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _age(path: Path) -> str:
    return str(timedelta(seconds=max(0, int(time() - path.stat().st_mtime))))


def _configs(result_folder: ResultFolder) -> Iterator[AuditFinding]:
    """Yield settings of coords that are not those of the folder they lie in."""
    for path in sorted(result_folder.folder.rglob("_config_*.json")):
        values = _json(path)
        if values is None:
            yield AuditFinding("config_unreadable", "", path, "is no JSON that can be read")
            continue
        name = GeometryName.parse(path.parent.name)
        if name and path.name == "_config_coords.json":
            yield from _config_of_coords(path, values, name)


def _config_of_coords(path: Path, values: dict[str, Any], name: GeometryName) -> Iterator[AuditFinding]:
    keys = (
        ("patch_size", "patch_size"),
        ("overlap", "overlap"),
        ("target_magnification", "magnification"),
        ("mag", "magnification"),
    )
    for key, field in keys:
        value, bound = values.get(key), getattr(name, field)
        if isinstance(value, int | float) and value != bound:
            yield AuditFinding(
                "config", "", path, f"{key} is {value:g}, the folder's name says {bound:g}", str(value), str(bound)
            )


def _runs(result_folder: ResultFolder) -> Iterator[AuditFinding]:
    """Yield settings in which runs differ that wrote into one place: the later reused results of the earlier."""
    seen: defaultdict[tuple[str, str], dict[str, tuple[str, Path]]] = defaultdict(dict)
    for path in sorted((result_folder.folder / "runs").glob("*.json")):
        values = _json(path)
        if values is None or not isinstance(values.get("args"), dict):
            yield AuditFinding("config_unreadable", "", path, "is no record of a run that can be read")
            continue
        for place, key, value in _settings(values["args"]):
            seen[place, key].setdefault(value, (str(values.get("run_id", path.stem)), path))
    for (place, key), run_of_value in seen.items():
        if len(run_of_value) > 1:
            text = ", ".join(f"{value} in run {run}" for value, (run, _) in run_of_value.items())
            last = list(run_of_value.values())[-1][1]
            yield AuditFinding(
                "config", "", last, f"{key} of {place} differs between runs: {text}", *list(run_of_value)[-2:][::-1]
            )


def _settings(args: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield place, setting and value of a run, as far as they decide results that a folder's name does not tell."""
    task = args.get("task")
    if task in ("seg", "all"):
        for key in DECIDING["segmentation"]:
            if key in args or key in DEFAULTS:
                yield "contours", key, json.dumps(args.get(key, DEFAULTS.get(key)))
    if task in ("coords", "all") and {"mag", "patch_size", "overlap"} <= args.keys():
        place = f"{args['mag']:g}x_{args['patch_size']}px_{args['overlap']}px_overlap"
        yield place, "min_tissue_proportion", json.dumps(args.get("min_tissue_proportion", 0.0))


def _states(result_folder: ResultFolder) -> Iterator[AuditFinding]:
    """Yield stems under which different slides were worked on; a cached copy of one slide has another path only."""
    sources: defaultdict[str, dict[str, tuple[str, Path]]] = defaultdict(dict)
    for path in sorted((result_folder.folder / "wsi_states").glob("*.json")):
        values = _json(path) or {}
        slide, meta = values.get("slide"), values.get("meta")
        if isinstance(slide, dict) and slide.get("name"):
            who = json.dumps([slide.get("ext"), meta.get("dimensions") if isinstance(meta, dict) else None])
            sources[str(slide["name"])].setdefault(who, (str(slide.get("abs_path")), path))
    for stem, slides in sources.items():
        if len(slides) > 1:
            paths = ", ".join(path for path, _ in slides.values())
            text = f"different slides were worked on under this name: {paths}"
            yield AuditFinding("stem_clash", stem, list(slides.values())[-1][1], text, str(len(slides)), "1")


def _json(path: Path) -> dict[str, Any] | None:
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
