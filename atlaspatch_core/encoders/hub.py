"""Weights on the Hugging Face hub: fetched once, read from the hub's own cache, known by their sha256."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from atlaspatch_core.encoders.hub_answer import hub_fault
from atlaspatch_core.encoders.weights import cache_folder, hash_of, local_copy, read_digest, write_cached
from atlaspatch_core.errors import MissingExtra, MissingWeights

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""What repositories call their weights, best first."""
SPARE = ["*.h5", "*.msgpack", "*.onnx", "*.ot", "*.tflite", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.pdf", "*.ipynb"]
"""Files of a repository that no network of ours reads."""


def offline() -> bool:
    """Return whether ``HF_HUB_OFFLINE`` or ``ATLASPATCH_OFFLINE`` forbids the network."""
    settings = (os.environ.get(name, "").strip().lower() for name in ("HF_HUB_OFFLINE", "ATLASPATCH_OFFLINE"))
    return any(value in {"1", "true", "yes", "on"} for value in settings)


@dataclass(frozen=True, slots=True)
class HubWeights:
    """A file, or a whole repository, that a user fetches under the terms of its page."""

    repository: str
    """``owner/name``."""
    files: tuple[str, ...] | None = WEIGHTS
    """Paths inside the repository, of which the first that exists is taken; None: the repository as a folder."""
    revision: str | None = None
    """Commit, tag or branch; None: the newest, and what was found is known by its sha256."""
    gated: bool = False
    """Whether access is given on request only."""
    sha256: str | None = None
    """Of the file, checked when it is loaded; None where it is not known."""
    dataset: bool = False
    """Whether it is a repository of data sets, not of models."""

    @property
    def page(self) -> str:
        """Address at which access is given."""
        return f"https://huggingface.co/{'datasets/' if self.dataset else ''}{self.repository}"

    def cached(self) -> Path | None:
        """Return the file or folder when it is on this machine; the network is never tried."""
        try:
            from huggingface_hub import try_to_load_from_cache
        except ModuleNotFoundError:
            return None
        if self.files is None:
            return self._cached_folder()
        where = {"cache_dir": _cache(), "repo_type": self._kind(), "revision": self.revision}
        paths = (try_to_load_from_cache(self.repository, file, **where) for file in self.files)
        return next((Path(path) for path in paths if isinstance(path, str)), None)

    def find(self, encoder: str) -> Path:
        """Return the file or folder; it is downloaded if need be, unless ``offline()``.

        Raises MissingExtra without ``huggingface_hub``, MissingWeights when it cannot be had.
        """
        copy = self.cached()
        if copy is None and offline():
            raise MissingWeights(self._missing(encoder, "this run is offline", "go online once"))
        if copy is None and (fault := hub_fault()):
            raise MissingWeights(self._missing(encoder, fault, "go online once"))
        path = copy or self._download(encoder)
        self._remember(path)
        return path

    def spec(self, encoder: str) -> dict[str, Any]:  # noqa: ARG002
        """Return the sha256, which is that of a local copy; what was never on this machine has repository and revision.

        The network is never tried. A sha256 that was seen once is known even when the file is gone.
        """
        if self.sha256 is not None:
            return {"sha256": self.sha256}
        copy = self.cached()
        digest = hash_of(copy) if copy else read_digest(self._memo())
        return {"sha256": digest} if digest else {"repository": self.repository, "revision": self.revision or "main"}

    def _download(self, encoder: str) -> Path:
        """Return what was fetched; raises MissingExtra, MissingWeights."""
        try:
            import huggingface_hub as hub
            from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
        except ModuleNotFoundError as error:
            cure = f"run: pip install huggingface_hub, or name a local copy: {local_copy(encoder)}"
            raise MissingExtra(f"{encoder}: fetching its weights needs huggingface_hub; {cure}") from error
        try:
            return Path(next(self._fetched(hub)))
        except (GatedRepoError, RepositoryNotFoundError) as error:
            ask = f"ask for access at {self.page}, log in by: hf auth login"
            raise MissingWeights(self._missing(encoder, "access is refused", ask)) from error
        except LocalEntryNotFoundError as error:
            raise MissingWeights(self._missing(encoder, "no connection", "go online once")) from error
        except StopIteration as error:
            which = " or ".join(self.files or ())
            raise MissingWeights(self._missing(encoder, f"there is no {which}", "give another revision")) from error
        except Exception as error:  # of huggingface_hub, of the library that it speaks HTTP by, of a disk
            cause = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"
            raise MissingWeights(self._missing(encoder, cause, "see that the network can be reached")) from error

    def _fetched(self, hub: Any) -> Iterator[str]:
        """Yield what can be fetched, best first."""
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        where = {"cache_dir": _cache(), "repo_type": self._kind(), "revision": self.revision, "endpoint": _endpoint()}
        if self.files is None:
            yield hub.snapshot_download(self.repository, ignore_patterns=SPARE, **where)
        for file in self.files or ():
            try:
                yield hub.hf_hub_download(self.repository, file, **where)
            except LocalEntryNotFoundError:
                raise
            except EntryNotFoundError:
                continue

    def _cached_folder(self) -> Path | None:
        """Return the repository's folder in the cache, when a file of weights lies in it."""
        from huggingface_hub import snapshot_download

        where = {"cache_dir": _cache(), "repo_type": self._kind(), "revision": self.revision}
        try:
            folder = Path(snapshot_download(self.repository, local_files_only=True, ignore_patterns=SPARE, **where))
        except (OSError, ValueError):
            return None
        return folder if any(folder.rglob("*.safetensors")) or any(folder.rglob("*.bin")) else None

    def _kind(self) -> str:
        return "dataset" if self.dataset else "model"

    def _memo(self) -> Path:
        what = f"{self._kind()} {self.repository} {self.revision} {self.files}"
        return cache_folder() / "hub" / sha256(what.encode()).hexdigest()

    def _remember(self, path: Path) -> None:
        digest = hash_of(path)
        if read_digest(self._memo()) != digest:
            write_cached(self._memo(), digest)

    def _missing(self, encoder: str, cause: str, cure: str) -> str:
        copy = f"or name a local copy: {local_copy(encoder)}"
        return f"{encoder}: no weights from {self.page} ({cause}); {cure}, {copy}"


def fetch(encoders: Iterable[tuple[str, Any]]) -> None:
    """Have the weights of encoders, given by name and source, on this machine before their identities are made.

    What was never here is known by its repository alone, and would be another encoder once it is here. What cannot
    be had is left to be said when it is loaded.
    """
    for name, source in encoders:
        if isinstance(source, HubWeights) and "sha256" not in source.spec(name):
            with suppress(MissingWeights, MissingExtra):
                source.find(name)


def _cache() -> Path | None:
    """Return the hub's cache folder where the environment names one now; None: where the hub looks by itself."""
    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(named)
    home = os.environ.get("HF_HOME")
    return Path(home) / "hub" if home else None


def _endpoint() -> str | None:
    """Return the mirror that ``HF_ENDPOINT`` names now; None: what the hub uses by itself."""
    return os.environ.get("HF_ENDPOINT") or None
