"""Slide encoders whose code lies beside their weights: transformers builds the network, the weights are loaded here."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.checkpoint import load_strictly, read_checkpoint
from atlaspatch_core.encoders.declaration import as_published
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.encoders.remote import RemoteModel, allowed_by_environment, not_allowed
from atlaspatch_core.errors import MissingExtra, RemoteCodeNotAllowed, WrongWeights

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class RemoteSlideModel(RemoteModel):
    """A folder of configuration, weights and Python code; its code is executed.

    ``from_pretrained`` of transformers 5 asks for attributes that networks written for version 4 do not have, TITAN's
    among them. So the network is built from its configuration, and every tensor is loaded strictly.
    """

    without: str = ""
    """Part of the network that the embedding does not need: neither built further nor loaded; empty for none."""

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights in float32.

        Raises RemoteCodeNotAllowed, MissingExtra, and WrongWeights when the folder cannot be loaded or a tensor is
        missing, too many, or of another shape.
        """
        if not (self.allowed or allowed_by_environment(encoder)):
            raise RemoteCodeNotAllowed(not_allowed(encoder))
        folder = weights if weights.is_dir() else weights.parent
        network = self._built(folder, encoder)
        skipped = f"{self.without}." if self.without else ""
        load_strictly(network, read_checkpoint(weights, encoder, without=skipped), as_published, encoder)
        return network

    def _built(self, folder: Path, encoder: str) -> "Module":
        """Return the network with arbitrary weights, without the part that is not needed."""
        transformers = need("transformers", self.extra, encoder)
        where = {"trust_remote_code": True, "local_files_only": True}
        try:
            config = transformers.AutoConfig.from_pretrained(folder, **where, **self.options)
            with _no_first_numbers():
                network = getattr(transformers, self.auto).from_config(config, trust_remote_code=True)
            if self.without and hasattr(network, self.without):
                setattr(network, self.without, None)
            return network.float()
        except ImportError as error:
            raise MissingExtra(f"{encoder}: {error}; install what its code imports") from error
        except Exception as error:  # it is foreign code
            raise WrongWeights(f"{encoder}: {folder} cannot be loaded: {type(error).__name__}: {error}") from error

    def spec(self) -> dict[str, Any]:
        """Return the class and the arguments; the code is part of the folder's sha256."""
        return {"remote": self.auto, "options": dict(self.options), "without": self.without}


def _no_first_numbers() -> "AbstractContextManager[None]":
    """Return what keeps a network from filling tensors that are loaded anyway: untouched, they take no memory."""
    try:
        from transformers.initialization import no_init_weights
    except ImportError:  # transformers 4
        from transformers.modeling_utils import no_init_weights  # pyright: ignore[reportAttributeAccessIssue]
    return no_init_weights()
