"""The ways a network is built."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from atlaspatch_core.encoders.declared_names import declared_name
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.errors import WrongWeights

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class TimmModel:
    """A model of timm, by its name there, without classifier."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keyword arguments of ``timm.create_model``, fit for JSON."""
    classes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Keyword arguments that are classes, by their import path, such as ``timm.layers.SwiGLUPacked``."""

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the network with arbitrary weights."""
        import timm

        classes = {key: pkgutil.resolve_name(path) for key, path in self.classes.items()}
        return timm.create_model(self.name, pretrained=False, **{"num_classes": 0, **self.options, **classes})

    def spec(self) -> dict[str, Any]:
        """Return the name and the arguments."""
        return {"timm": self.name, "options": dict(self.options), "classes": dict(self.classes)}


@dataclass(frozen=True, slots=True)
class TorchvisionModel:
    """A model of torchvision, by its name there, whose classifier gives back what it gets."""

    name: str
    classifier: str
    """Name of the layer that is replaced."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keyword arguments of the model's function, fit for JSON."""

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the network with arbitrary weights."""
        import torch
        import torchvision

        network = torchvision.models.get_model(self.name, weights=None, **self.options)
        setattr(network, self.classifier, torch.nn.Identity())
        return network

    def spec(self) -> dict[str, Any]:
        """Return the name and the arguments."""
        return {"torchvision": self.name, "options": dict(self.options)}


@dataclass(frozen=True, slots=True)
class OpenClipModel:
    """The vision tower of a model of open_clip, with its projection and without the text tower."""

    name: str
    """Name of the model's configuration in open_clip."""
    quick_gelu: bool = False
    """Whether it was trained with the quick approximation of GELU, as OpenAI's weights were."""
    config: Mapping[str, Any] | None = field(default=None, hash=False)
    """``embed_dim`` and ``vision_cfg`` of a model that open_clip has no configuration of."""

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the tower with arbitrary weights; raises MissingExtra."""
        open_clip = need("open_clip", "clip", self.name)
        config = self.config or open_clip.get_model_config(self.name)
        tower = need("open_clip.model", "clip", self.name)._build_vision_tower
        return tower(config["embed_dim"], dict(config["vision_cfg"]), self.quick_gelu)

    def spec(self) -> dict[str, Any]:
        """Return the name and what departs from its configuration."""
        config = None if self.config is None else dict(self.config)
        return {"open_clip": self.name, "quick_gelu": self.quick_gelu, "config": config}


@dataclass(frozen=True, slots=True)
class PackageModel:
    """A network that a package with its own code builds and fills."""

    loader: str
    """Import path of the function (weights, encoder) that returns the network, such as ``package.module:function``."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the function is told besides, fit for JSON."""
    name: str = ""
    """Its name in identities, so that the function may move; the import path when empty."""

    def build(self, weights: Path | None) -> NoReturn:
        """Raise WrongWeights: the package fills the network as it builds it."""
        raise WrongWeights(f"{weights}: a network of {self.loader} is loaded from its weights alone")

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights; raises MissingExtra, WrongWeights."""
        return pkgutil.resolve_name(self.loader)(weights, encoder, **self.options)

    def spec(self) -> dict[str, Any]:
        """Return the function and its arguments."""
        return {"package": self.name or self.loader, "options": dict(self.options)}


@dataclass(frozen=True, slots=True)
class Built:
    """A network that a function of a plugin, or of a package with its own code, returns."""

    function: Callable[[], "Module"]
    name: str = ""
    """What the function builds, for the fingerprint; the function's own name when empty."""

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return what the function returns."""
        return self.function()

    def spec(self) -> dict[str, Any]:
        """Return the name."""
        return {"built": self.name or declared_name(self.function, type(self.function).__name__)}
