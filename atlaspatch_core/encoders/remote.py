"""Networks whose Python code lies beside their weights: it is run where the user says so, and nowhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from atlaspatch_core.encoders.extras import need
from atlaspatch_core.errors import MissingExtra, RemoteCodeNotAllowed, WrongWeights

if TYPE_CHECKING:
    from torch.nn import Module

ENVIRONMENT = "ATLASPATCH_ALLOW_REMOTE_CODE"


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A folder of configuration, weights and Python code, loaded through transformers; its code is executed."""

    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keyword arguments of ``from_pretrained``, fit for JSON."""
    auto: str = "AutoModel"
    """Class of transformers that loads it."""
    part: str | None = None
    """Method of the model that returns the network (or the network and more), where it is a part of the model."""
    extra: str = "hub"
    allowed: bool = field(default=False, compare=False)
    """Whether the project allows it; ``ATLASPATCH_ALLOW_REMOTE_CODE`` (names, or ``all``) does so too."""

    def build(self, weights: Path | None) -> NoReturn:
        """Raise WrongWeights: without its folder there is no network."""
        raise WrongWeights(f"{weights}: a network with code of its own is loaded from its folder alone")

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights in float32.

        Raises RemoteCodeNotAllowed, MissingExtra, and WrongWeights when the folder cannot be loaded, or lacks tensors.
        """
        if not (self.allowed or allowed_by_environment(encoder)):
            raise RemoteCodeNotAllowed(not_allowed(encoder))
        if not weights.is_dir():
            raise WrongWeights(f"{encoder}: {weights} is a file; name the folder with config.json, code and weights")
        transformers = need("transformers", self.extra, encoder)
        transformers.utils.logging.disable_progress_bar()
        try:
            import torch

            network, report = getattr(transformers, self.auto).from_pretrained(
                weights, trust_remote_code=True, local_files_only=True, output_loading_info=True,
                **{"dtype": torch.float32, **self.options},
            )  # fmt: skip
        except ImportError as error:
            raise MissingExtra(f"{encoder}: {error}; install what its code imports") from error
        except Exception as error:  # it is foreign code
            raise WrongWeights(f"{encoder}: {weights} cannot be loaded: {type(error).__name__}: {error}") from error
        if lacking := sorted(report["missing_keys"]):
            raise WrongWeights(f"{encoder}: {weights} lacks {', '.join(lacking[:2])} (of {len(lacking)} tensors)")
        return network if self.part is None else _first(getattr(network, self.part)())

    def spec(self) -> dict[str, Any]:
        """Return the class and the arguments; the code is part of the folder's sha256."""
        return {"remote": self.auto, "options": dict(self.options), "part": self.part}


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple | list) else output


def allowed_by_environment(encoder: str) -> bool:
    """Return whether ``ATLASPATCH_ALLOW_REMOTE_CODE`` names the encoder, or is ``all``."""
    words = os.environ.get(ENVIRONMENT, "").lower().replace(",", " ").split()
    return encoder.lower() in words or "all" in words


def not_allowed(encoder: str) -> str:
    """Return what is wrong, and the cure."""
    return (
        f"{encoder}: its network is Python code beside its weights, which is run on request only; read it, then write "
        f'allow_remote_code = ["{encoder}"] in the project file, or set {ENVIRONMENT}={encoder}'
    )
