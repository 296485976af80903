"""What plugin files for AtlasPatch import from it, so that they work where it is not installed.

``atlas_patch.models.patch.custom`` has ``CustomEncoderComponents`` and ``register_custom_encoder``.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

HELPER = "atlas_patch.models.patch.custom"
"""Name of AtlasPatch's module."""


class EncoderRegistry(Protocol):
    """What a plugin registers its encoders with."""

    def register(self, name: str, builder: Callable[[], Any]) -> None:
        """Add a builder; raises InvalidProject when the name is taken."""
        ...


@dataclass(slots=True)
class CustomEncoderComponents:
    """What a loader returns."""

    model: Any
    """Network, or any callable."""
    preprocess: Callable[[Any], Any]
    """From a PIL image to a tensor (3, h, w)."""
    forward_fn: Callable[..., Any] | None = None
    """From a batch, or from model and batch, to features; None calls the model."""


Loader = Callable[[Any, Any], CustomEncoderComponents]
"""(device, dtype) to the parts of an encoder."""


def register_custom_encoder(
    *,
    registry: EncoderRegistry,
    name: str,
    embedding_dim: int,
    loader: Loader,
    device: Any,
    dtype: Any,
    num_workers: int = 0,  # noqa: ARG001 - patches are read elsewhere
    non_blocking: bool = False,  # noqa: ARG001
) -> None:
    """Register an encoder that is loaded when it is needed. Raises InvalidProject when the name is taken."""
    registry.register(name, lambda: CustomExtractor(name, embedding_dim, loader(device, dtype), device, dtype))


@dataclass(slots=True)
class CustomExtractor:
    """A feature extractor of such parts."""

    name: str
    embedding_dim: int
    components: CustomEncoderComponents
    device: Any
    dtype: Any

    def extract_batch(self, patches: list[Any], *, batch_size: int) -> Any:
        """Return features (b, embedding_dim), a float32 tensor, from RGB uint8 patches (h, w, 3)."""
        import torch
        from PIL import Image

        parts = self.components
        rows = []
        for start in range(0, len(patches), batch_size):
            images = [parts.preprocess(Image.fromarray(patch)) for patch in patches[start : start + batch_size]]
            with torch.inference_mode():
                output = self._forward(torch.stack(images).to(device=self.device, dtype=self.dtype))
            rows.append((output.flatten(1) if output.ndim > 2 else output).float().cpu())
        return torch.cat(rows)

    def _forward(self, batch: Any) -> Any:
        parts = self.components
        if parts.forward_fn is None:
            return parts.model(batch)
        both = len(inspect.signature(parts.forward_fn).parameters) > 1
        return parts.forward_fn(parts.model, batch) if both else parts.forward_fn(batch)

    def cleanup(self) -> None:
        """Let go of the network."""
        self.components = CustomEncoderComponents(None, self.components.preprocess)


@contextmanager
def helper_of_atlaspatch() -> Iterator[None]:
    """Let AtlasPatch's module be imported until the block ends, where AtlasPatch itself is not installed."""
    top, *rest = HELPER.split(".")
    if top in sys.modules or importlib.util.find_spec(top) is not None:
        yield
        return
    names = [".".join((top, *rest[:depth])) for depth in range(len(rest) + 1)]
    modules = [ModuleType(name) for name in names]
    for parent, word, child in zip(modules, rest, modules[1:], strict=False):
        setattr(parent, word, child)
    for word in (CustomEncoderComponents, register_custom_encoder):
        setattr(modules[-1], word.__name__, word)
    sys.modules.update(zip(names, modules, strict=True))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
