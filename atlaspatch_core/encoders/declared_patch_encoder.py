"""What is declared of an encoder of patches."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.declared_encoder import Encoder, plugin_spec
from atlaspatch_core.encoders.declared_names import declared_name
from atlaspatch_core.encoders.declared_parts import Architecture, Pooling, Weights, network_output
from atlaspatch_core.encoders.transforms import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Transform
from atlaspatch_core.plugins.foreign_code import no_exit

if TYPE_CHECKING:
    from atlaspatch_core.encoders.modules import ModuleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A further vector that a network gives of a patch, beside the encoder's own: its class token alone, say."""

    word: str
    """What is taken of the network, such as ``class``, ``class+mean`` or ``mean``."""
    name: str
    """Name of the encoder with this output, and of its dataset."""
    dim: int
    pooling: Pooling
    leads: bool = False
    """Whether its numbers are the first of the encoder's own, so that features of one give those of the other."""
    aliases: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchEncoder(Encoder):
    """A network that turns a patch into features."""

    architecture: Architecture
    source: Weights
    transform: Transform | None
    """None: the network takes the uint8 pixels (b, 3, h, w) themselves."""
    pooling: Pooling = network_output
    output: str = ""
    """What is taken of the network, in the words of ``Output``; empty where it gives one vector alone."""
    outputs: tuple[Output, ...] = ()
    """What else can be taken."""
    whole: "PatchEncoder | None" = None
    """The network's own encoder, for one of its further outputs."""
    leads: bool = False
    """Whether its numbers are the first of those of ``whole``."""
    autocast: bool = True
    """In half precision: weights stay float32 and operations are cast (True), or weights are cast (False)."""
    without_code: "WithoutCode | None" = None
    """Taken where the user gives such a file, or does not allow the code."""

    @property
    def network(self) -> str:
        """Return the name of the encoder whose network gives this further output; empty for the network's own."""
        return self.whole.name if self.whole else ""

    def each_output(self) -> "tuple[PatchEncoder, ...]":
        """Return the encoder, and one for each further output of its network, under that output's name."""
        return (self, *map(self._with_output, self.outputs))

    def _with_output(self, output: Output) -> "PatchEncoder":
        return replace(
            self,
            name=output.name,
            aliases=output.aliases,
            dim=output.dim,
            pooling=output.pooling,
            output=output.word,
            outputs=(),
            whole=self,
            leads=output.leads,
            note=output.note or self.note,
        )

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
            | plugin_spec(self.plugin)
        )


@dataclass(frozen=True, slots=True)
class WithoutCode:
    """The network of an encoder whose code lies beside its weights, built here from a file of tensors alone."""

    architecture: Architecture
    source: Weights
    takes: Callable[[Path], bool]
    """Whether local weights are such a file, not the folder with the code."""


def _channels(values: Sequence[float]) -> tuple[float, float, float]:
    """Return one number a channel. Raises ValueError where there are not three."""
    red, green, blue = values
    return red, green, blue
