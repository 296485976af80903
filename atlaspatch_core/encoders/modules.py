"""Encoders of plain modules of torch: how they are built, and what tells their weights apart."""

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from atlaspatch_core.encoders.declared_names import declared_name, named
from atlaspatch_core.errors import AtlasPatchError, InvalidProject, MissingWeights, WrongWeights
from atlaspatch_core.plugins.foreign_code import place_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    ModuleSource = Module | Callable[[], Module]
    """A module, or what makes one when it is called without arguments: its class, or a function."""

SEED = 0
"""Of the numbers that a module draws for its weights when it is made, so that they are the same in every process."""


@dataclass(frozen=True, slots=True)
class ModuleNetwork:
    """An architecture that is a module, or what makes one."""

    encoder: str
    """Name of the encoder, for errors."""
    source: "ModuleSource" = field(hash=False)
    _digest: list[str] = field(default_factory=list, init=False, repr=False, compare=False, hash=False)
    """sha256 of the weights, once it was asked for."""

    def build(self, weights: Path | None) -> "Module":
        """Return a module that nobody else has; ``weights`` are loaded later, in the place of those that it brings.

        Raises InvalidProject, MissingWeights for a file that its maker does not find, and WrongWeights where the
        weights are others each time.
        """
        module = self._module()
        if not self._makes_modules():
            return copy.deepcopy(module)
        if weights is None and weights_digest(module) != self.digest():
            raise WrongWeights(f"{self.encoder}: {self._name()}() gives other weights each time; load them from a file")
        return module

    def spec(self) -> dict[str, Any]:
        """Return the name of the class or the function."""
        return {"module": self._name()}

    def digest(self) -> str:
        """Return the sha256 of the weights, 64 hex digits; computed once a process. Raises as ``build`` does."""
        if not self._digest:
            self._digest.append(weights_digest(self._module()))
        return self._digest[0]

    def _makes_modules(self) -> bool:
        return not is_module(self.source)

    def _name(self) -> str:
        return declared_name(self.source) if self._makes_modules() else type(self.source).__qualname__

    def _module(self) -> "Module":
        module = self._made() if self._makes_modules() else self.source
        if not is_module(module):
            raise InvalidProject(f"{self.encoder}: {self._name()}() gives {module!r}; return a torch.nn.Module")
        return cast("Module", module)

    def _made(self) -> object:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            try:
                return cast("Callable[[], Module]", self.source)()
            except AtlasPatchError:
                raise
            except Exception as error:  # it is foreign code
                what = f"{self.encoder}: {self._name()}() fails: {type(error).__name__}: {error}{place_of(error)}"
                raise (MissingWeights if isinstance(error, FileNotFoundError) else InvalidProject)(what) from error


@dataclass(frozen=True, slots=True)
class WeightsOfModule:
    """The weights that a module brings."""

    network: ModuleNetwork

    def find(self, encoder: str) -> None:  # noqa: ARG002
        """Return None: there is no file."""
        return

    def spec(self, encoder: str) -> dict[str, Any]:  # noqa: ARG002
        """Return the sha256 of the names, types, shapes and values."""
        return {"tensors_sha256": self.network.digest()}


def network_of(encoder: str, source: "ModuleSource") -> ModuleNetwork:
    """Return the network of an encoder; of a module a copy is taken, so that what becomes of it later changes nothing.

    Raises InvalidProject for what neither is a module nor can be called.
    """
    if is_module(source):
        return ModuleNetwork(encoder, copy.deepcopy(cast("Module", source)).cpu())
    if not callable(source):
        raise InvalidProject(f"{encoder}: {source!r} is no torch.nn.Module and makes none; give a module or its class")
    return ModuleNetwork(encoder, source)


def is_module(source: object) -> bool:
    """Tell whether this is a module of torch; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


@named("module_on_bag")
def module_on_bag(network: Any, features: Any, coords: Any, patch_size_level0: int) -> "Tensor":  # noqa: ARG001
    """Return what a module makes of features (n, d), float32, alone, or of several: shape (dim,)."""
    import torch

    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    bags = features if isinstance(features, tuple) else (features,)
    return network(*(torch.from_numpy(np.require(bag, np.float32, ["C", "W"])).to(device) for bag in bags))


def weights_digest(module: "Module") -> str:
    """Return the sha256 of the names, types, shapes and values of all parameters and buffers, 64 hex digits."""
    import torch

    digest = sha256()
    for name, value in sorted({**dict(module.named_buffers()), **module.state_dict()}.items()):
        if not isinstance(value, torch.Tensor):  # what a layer keeps beside its tensors
            digest.update(f"{name} {value!r}\n".encode())
            continue
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
