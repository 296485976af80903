"""Weights that lie at a plain address, kept where torch.hub keeps them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlaspatch_core.encoders.hub import offline
from atlaspatch_core.encoders.weights import hash_of, local_copy
from atlaspatch_core.errors import MissingWeights, WrongWeights


@dataclass(frozen=True, slots=True)
class UrlWeights:
    """A file whose name ends with the first digits of its sha256, as torchvision's do: ``resnet18-f37072fd.pth``."""

    url: str

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def digits(self) -> str:
        """First hex digits of the sha256."""
        return self.file.rpartition(".")[0].rpartition("-")[2]

    def cached(self) -> Path | None:
        """Return the file when it is on this machine."""
        home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
        path = Path(home).expanduser() / "hub" / "checkpoints" / self.file
        return path if path.is_file() else None

    def find(self, encoder: str) -> Path:
        """Return the file; it is downloaded if need be, unless ``offline()``.

        Raises MissingWeights when it cannot be had, WrongWeights when its bytes are others than its name says.
        """
        path = self.cached() or self._download(encoder)
        if not hash_of(path).startswith(self.digits):
            raise WrongWeights(f"{encoder}: the sha256 of {path} does not begin with {self.digits}; delete the file")
        return path

    def spec(self, encoder: str) -> dict[str, Any]:  # noqa: ARG002
        """Return the name, which holds eight digits of the sha256."""
        return {"file": self.file}

    def _download(self, encoder: str) -> Path:
        from torch.hub import download_url_to_file, get_dir

        path = Path(get_dir()) / "checkpoints" / self.file
        try:
            if offline():
                raise OSError("this run is offline")
            path.parent.mkdir(parents=True, exist_ok=True)
            download_url_to_file(self.url, str(path), hash_prefix=self.digits, progress=False)
        except (OSError, RuntimeError) as error:
            cure = f"go online once, or name a local copy: {local_copy(encoder)}"
            raise MissingWeights(f"{encoder}: no weights from {self.url} ({error}); {cure}") from error
        return path
