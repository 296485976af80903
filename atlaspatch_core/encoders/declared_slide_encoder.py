"""What is declared of an encoder of slides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declared_encoder import Encoder, plugin_spec
from atlaspatch_core.encoders.declared_names import declared_name
from atlaspatch_core.encoders.declared_parts import Architecture, Weights
from atlaspatch_core.plugins.foreign_code import no_exit

if TYPE_CHECKING:
    from atlaspatch_core.encoders.modules import ModuleSource

SlideForward = Callable[[Any, Any, NDArray[np.int64], int], Any]
"""(network or None, features (n, d), coords (n, 2) of top-left corners in level-0 px, patch_size_level0) to an array or
tensor of shape (dim,); n ≥ 1. Of an encoder with ``further_patch_encoders``, features are a tuple of such arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideEncoder(Encoder):
    """What turns the patch features of a slide into one embedding."""

    patch_encoder: str
    """Name of the patch encoder whose features it takes."""
    further_patch_encoders: tuple[str, ...] = ()
    """Names of those whose features of the same patches it takes too. Where there are some, ``forward`` gets a tuple of
    features, those of ``patch_encoder`` first; row i of each is of the patch of row i of the coords."""
    forward: SlideForward
    architecture: Architecture | None = None
    """None: ``forward`` needs no network."""
    source: Weights | None = None
    attention: SlideForward | None = None
    """Takes what ``forward`` takes, and returns how much each patch counts, shape (n,) or (n, heads); None: not known.

    It decides no number of an embedding, and so is no part of the spec."""

    def __post_init__(self) -> None:
        Encoder.__post_init__(self)
        if len(set(self.patch_encoders)) < len(self.patch_encoders):
            raise ValueError(f"{self.name}: takes features twice, of {', '.join(self.patch_encoders)}; name each once")

    @property
    def patch_encoders(self) -> tuple[str, ...]:
        """Return the names of all whose features it takes, in the order in which ``forward`` gets them."""
        return self.patch_encoder, *self.further_patch_encoders

    @classmethod
    def from_module(
        cls,
        name: str,
        module: "ModuleSource",
        *,
        patch_encoder: str,
        dim: int,
        license: str = "not stated",  # noqa: A002
        **more: Any,
    ) -> "SlideEncoder":
        """Return a module of torch as an encoder of slides, as ``PatchEncoder.from_module`` does.

        Args:
            name: What the encoder is called.
            module: A ``torch.nn.Module`` that takes the features of a slide's patches, float32 (n, d), n ≥ 1, and
                returns an embedding (dim,); or its class, or a function, that makes one. With
                ``further_patch_encoders`` it takes as many arguments, the features of one each.
            patch_encoder: Name of the patch encoder whose features it takes.
            dim: Length of the embedding.
            license: SPDX name of the weights' licence, for projects that allow some alone.
            more: Further fields of ``SlideEncoder``.

        Returns:
            The encoder, for ``SLIDE_ENCODERS`` of a plugin and for ``ap.encode``.

        Raises:
            InvalidProject: It is no module, or makes none.
        """
        from atlaspatch_core.encoders.modules import WeightsOfModule, module_on_bag, network_of

        network = network_of(name, module)
        return cls(
            name=name,
            patch_encoder=patch_encoder,
            dim=dim,
            forward=module_on_bag,
            architecture=network,
            source=WeightsOfModule(network),
            license=license,
            **more,
        )

    def spec(self) -> dict[str, Any]:
        """Return everything that decides the embedding beside the features, fit for JSON."""
        with no_exit(self.name):
            of_code = {
                "architecture": None if self.architecture is None else self.architecture.spec(),
                "weights": None if self.source is None else self.source.spec(self.name),
            }
        return (
            of_code
            | {
                "encoder": self.name,
                "patch_encoder": self.patch_encoder,
                "adapt": declared_name(self.adapt),
                "forward": declared_name(self.forward),
                "precision": self.precision,
            }
            | ({"further_patch_encoders": list(self.further_patch_encoders)} if self.further_patch_encoders else {})
            | plugin_spec(self.plugin)
        )
