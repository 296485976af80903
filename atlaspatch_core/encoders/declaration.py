"""What an encoder is: everything that decides its numbers, sayable without loading anything.

A declaration imports no torch and touches no network. The callables it holds (``build``, ``pooling``, ``adapt``,
``forward``) import what they need when they are called.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declared_names import declared_name, named
from atlaspatch_core.encoders.precision import Precision as Precision
from atlaspatch_core.plugins.foreign_code import no_exit

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from atlaspatch_core.encoders.modules import ModuleSource

Interpolation = Literal["bilinear", "bicubic"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True)
class Transform:
    """How a uint8 RGB patch becomes the input of a model: resize, crop the centre, scale to 0..1, normalise.

    Equal transforms are computed once for all encoders that share them.
    """

    resize: int | None
    """Length that the shorter side gets, px; None leaves the patch as it is."""
    crop: int | None
    """Side of the centred square, px; None crops nothing."""
    interpolation: Interpolation
    mean: tuple[float, float, float]
    """Per channel, on the scale 0..1."""
    std: tuple[float, float, float]
    """Per channel, on the scale 0..1."""
    antialias: bool = True
    """Whether shrinking averages over all pixels, as PIL does."""

    def __post_init__(self) -> None:
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation is bilinear or bicubic, not {self.interpolation}")
        if min(self.std) <= 0:
            raise ValueError(f"std is positive, not {self.std}")
        if any(side is not None and side < 1 for side in (self.resize, self.crop)):
            raise ValueError(f"resize and crop are at least 1 px, not {self.resize} and {self.crop}")


class Architecture(Protocol):
    """How a network is built, before its weights are loaded."""

    def build(self, weights: Path | None) -> "Module":
        """Return the network; ``weights`` is read only where code or configuration lie beside the weights."""
        ...

    def spec(self) -> dict[str, Any]:
        """Return what decides its layers, fit for JSON."""
        ...


class Weights(Protocol):
    """Where the numbers of a network come from."""

    def find(self, encoder: str) -> Path | None:
        """Return the local file or folder; None when the architecture brings its own numbers.

        Raises MissingWeights, which names ``encoder`` and the cure.
        """
        ...

    def spec(self, encoder: str) -> dict[str, Any]:
        """Return their identity (a sha256 or a pinned revision, never a local path), fit for JSON.

        Raises MissingWeights where a local file that is not there would have to be read.
        """
        ...


StateDict = dict[str, Any]
Adapt = Callable[[StateDict, StateDict], StateDict]
"""(names and tensors of a checkpoint, those of the network) to those that are loaded strictly."""
Pooling = Callable[[Any, "Tensor"], "Tensor"]
"""(network, float pixels (b, 3, h, w)) to features (b, dim)."""


@named("as_published")
def as_published(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the checkpoint as it is: its names are the network's names."""
    return checkpoint


@named("network_output")
def network_output(network: Any, pixels: "Tensor") -> "Tensor":
    """Return what the network returns."""
    return network(pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoder:
    """What is declared of every encoder."""

    name: str
    """Name of the dataset in the slide's file, and on the command line."""
    dim: int | None
    """Length of its vectors; None where it is asked of a network."""
    adapt: Adapt = as_published
    precision: Precision = "float32"
    """Precision that its makers use."""
    license: str
    """SPDX name, or the licence's own name where it has none."""
    gated: bool = False
    """Whether the weights are given out on request only."""
    aliases: tuple[str, ...] = ()
    patch_size: int | None = None
    """Side of the patches it was made for, px; None when any will do."""
    magnification: float | None = None
    """Magnification it was made for, 20 for 20x; None when any will do."""
    extra: str | None = None
    """Optional dependency group of this package that it needs."""
    homepage: str = ""
    note: str = ""
    """One sentence for whoever chooses an encoder."""
    plugin: str | None = None
    """sha256 of the plugin file that declares it."""

    def __post_init__(self) -> None:
        for word in (self.name, *self.aliases):
            if not _NAME.fullmatch(word):
                raise ValueError(f"an encoder's name has letters, digits and . _ + - only, not {word!r}")
        if self.dim is not None and self.dim < 1:
            raise ValueError(f"{self.name}: dim is at least 1, not {self.dim}")
        if self.precision not in ("float32", "float16", "bfloat16"):
            raise ValueError(f"{self.name}: precision is float32, float16 or bfloat16, not {self.precision}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchEncoder(_Encoder):
    """A network that turns a patch into features."""

    architecture: Architecture
    source: Weights
    transform: Transform | None
    """None: the network takes the uint8 pixels (b, 3, h, w) themselves."""
    pooling: Pooling = network_output
    autocast: bool = True
    """In half precision: weights stay float32 and operations are cast (True), or weights are cast (False)."""
    without_code: "WithoutCode | None" = None
    """Taken where the user gives such a file, or does not allow the code."""

    @classmethod
    def from_module(
        cls,
        name: str,
        module: "ModuleSource",
        *,
        dim: int,
        image_size: int | None = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        interpolation: Interpolation = "bilinear",
        license: str = "not stated",  # noqa: A002
        **more: Any,
    ) -> "PatchEncoder":
        """Return a module of torch as an encoder of patches.

        The sha256 of its weights is part of the fingerprint of its features.

        Args:
            name: What the encoder is called.
            module: A ``torch.nn.Module`` that takes pixels, float32 (b, 3, image_size, image_size), and returns
                features (b, dim); or its class, or a function, that makes one when it is called without arguments.
                Weights that are drawn by chance are then the same in each process. Of a module a copy is taken.
            dim: Length of a feature vector.
            image_size: Side to which patches are scaled, px; None leaves them as they are.
            mean: Taken from each channel, R, G and B, on the scale 0..1; by default ImageNet's.
            std: What each channel is divided by thereafter.
            interpolation: ``bilinear`` or ``bicubic``.
            license: SPDX name of the weights' licence, for projects that allow some alone.
            more: Further fields of ``PatchEncoder``, such as ``precision``, ``patch_size`` or ``magnification``.

        Returns:
            The encoder, for ``PATCH_ENCODERS`` of a plugin and for ``ap.encode``.

        Raises:
            InvalidProject: It is no module, or makes none.

        Example:
            >>> import torch
            >>> mean_colour = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
            >>> PatchEncoder.from_module("colour", mean_colour, dim=3).dim
            3
        """
        from atlaspatch_core.encoders.modules import WeightsOfModule, network_of

        network = network_of(name, module)
        return cls(
            name=name,
            architecture=network,
            source=WeightsOfModule(network),
            dim=dim,
            transform=Transform(image_size, image_size, interpolation, _channels(mean), _channels(std)),
            license=license,
            **more,
        )

    def with_local_weights(self, source: Weights, path: Path) -> "PatchEncoder":
        """Return the encoder with what the user gives, which lies at ``path``, in the place of its declared weights."""
        if self.without_code is not None and self.without_code.takes(path):
            return self.built_here(source)
        return replace(self, source=source, without_code=None)

    def built_here(self, source: Weights | None = None) -> "PatchEncoder":
        """Return the encoder without the code beside its weights, where it can do so; from ``source`` if given."""
        if (plain := self.without_code) is None:
            return self
        return replace(
            self, architecture=plain.architecture, source=source or plain.source, extra=None, without_code=None
        )

    def spec(self) -> dict[str, Any]:
        """Return everything that decides the features, fit for JSON; the hash of a local file is computed at most once.

        Raises MissingWeights when a local file is not there.
        """
        with no_exit(self.name):
            of_code = {"architecture": self.architecture.spec(), "weights": self.source.spec(self.name)}
        return (
            of_code
            | {
                "encoder": self.name,
                "adapt": declared_name(self.adapt),
                "transform": None if self.transform is None else asdict(self.transform),
                "pooling": declared_name(self.pooling),
                "precision": self.precision,
                "autocast": self.autocast,
            }
            | _plugin(self.plugin)
        )


@dataclass(frozen=True, slots=True)
class WithoutCode:
    """The network of an encoder whose code lies beside its weights, built here from a file of tensors alone."""

    architecture: Architecture
    source: Weights
    takes: Callable[[Path], bool]
    """Whether local weights are such a file, not the folder with the code."""


SlideForward = Callable[[Any, NDArray[np.float32], NDArray[np.int64], int], Any]
"""(network or None, features (n, d), coords (n, 2) of top-left corners in level-0 px, patch_size_level0) to an array or
tensor of shape (dim,); n ≥ 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideEncoder(_Encoder):
    """What turns the patch features of a slide into one embedding."""

    patch_encoder: str
    """Name of the patch encoder whose features it takes."""
    forward: SlideForward
    architecture: Architecture | None = None
    """None: ``forward`` needs no network."""
    source: Weights | None = None

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
                returns an embedding (dim,); or its class, or a function, that makes one.
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
            | _plugin(self.plugin)
        )


@dataclass(frozen=True, slots=True)
class Plugins:
    """Encoders that plugin files declare, by name."""

    patch: Mapping[str, PatchEncoder] = field(default_factory=dict)
    slide: Mapping[str, SlideEncoder] = field(default_factory=dict)


NO_PLUGINS = Plugins()


def _channels(values: Sequence[float]) -> tuple[float, float, float]:
    """Return one number a channel. Raises ValueError where there are not three."""
    red, green, blue = values
    return red, green, blue


def _plugin(sha256: str | None) -> dict[str, Any]:
    return {} if sha256 is None else {"plugin": sha256}
