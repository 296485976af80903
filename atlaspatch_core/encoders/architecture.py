"""The ways a network is built."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        return {"built": self.name or getattr(self.function, "__qualname__", type(self.function).__name__)}
