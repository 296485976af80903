"""Commands as a user types them, ours and those of tools in environments of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "parity"
PLUGIN = ROOT / "parity" / "seeded.py"
QUIET = ROOT / "parity" / "stub"
OURS = "import sys; from atlaspatch_assets.cli.main import main; sys.exit(main())"
COMMIT = "0" * 40


def run(words: Sequence[object], cwd: Path | None = None, **more: str) -> str:
    """Run a command and return what it printed; raises CalledProcessError, which shows it."""
    texts, environment = [str(word) for word in words], {**os.environ, **more}
    ended = subprocess.run(texts, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if ended.returncode:
        print(*texts, (ended.stdout + ended.stderr)[-2000:], sep="\n", file=sys.stderr)
        ended.check_returncode()
    return ended.stdout + ended.stderr


def run_ours(words: Sequence[object]) -> str:
    """Run our command line and return what it printed."""
    return run([sys.executable, "-c", OURS, *words], PYTHONPATH=str(ROOT))


def make_environment(name: str, python: str, *packages: str, folder: Path | None = None) -> Path:
    """Return the folder of programs of an environment that has our torch and some packages; it is made once."""
    programs = BUILD / f"{name}-venv" / "bin"
    is_ready = programs / "ready"
    if not is_ready.exists():
        shutil.rmtree(programs.parent, ignore_errors=True)
        run([python, "-m", "venv", programs.parent])
        torch = f"torch=={version('torch').partition('+')[0]}"  # the same numbers, and no other download
        run([programs / "pip", "install", "--quiet", torch])
        run([programs / "pip", "install", "--quiet", *packages, torch], cwd=folder)
        is_ready.touch()
    return programs


def seed_hub(repository: str, file: str) -> Path:
    """Return where a file of a repository lies in the cache of Hugging Face that tools get; it is not made."""
    model = BUILD / "hub" / "hub" / f"models--{repository.replace('/', '--')}"
    (model / "refs").mkdir(parents=True, exist_ok=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots" / COMMIT).mkdir(parents=True, exist_ok=True)
    return model / "snapshots" / COMMIT / file
