"""The one place that loads encoders."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from atlaspatch_core.encoders.checkpoint import check_hash, load_strictly, read_checkpoint
from atlaspatch_core.encoders.declaration import Adapt, Architecture, PatchEncoder, Precision, SlideEncoder, Weights
from atlaspatch_core.encoders.devices import effective_precision, resolve_device
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder, LoadedSlideEncoder
from atlaspatch_core.encoders.precision import Compile
from atlaspatch_core.encoders.preprocessing import input_side
from atlaspatch_core.encoders.unfilled import built_to_fill
from atlaspatch_core.errors import AtlasPatchError, WrongWeights
from atlaspatch_core.plugins.foreign_code import foreign_place_of, no_exit

if TYPE_CHECKING:
    from torch import Tensor, device
    from torch.nn import Module

BLANK_SIDE = 224
"""Side of the blank patch by which an encoder without a fixed input is asked for its dim, px."""


@runtime_checkable
class LoadsItself(Protocol):
    """An architecture that reads its weights by itself, strictly."""

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights, in float32; raises WrongWeights that names ``encoder``."""
        ...


def load_patch_encoder(
    encoder: PatchEncoder,
    *,
    device: str = "cpu",
    precision: Precision | None = None,
    compile: Compile = "auto",  # noqa: A002
) -> LoadedPatchEncoder:
    """Load an encoder, in its makers' precision unless another is given.

    It runs quicker than its makers' code where that pays and changes no feature by more than the precision's tolerance.

    Args:
        encoder: A declaration, such as ``PATCH_ENCODERS["efficientnet_lite0"]``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``float32``, ``float16`` or ``bfloat16``; on a CPU all are computed in float32.
        compile: ``off`` runs the network as its makers' code has it.

    Returns:
        The encoder, whose ``encode`` takes RGB uint8 (b, h, w, 3) and returns float32 (b, dim).

    Raises:
        MissingWeights: The checkpoint is not on this machine and cannot be had.
        WrongWeights: The checkpoint or the dim is another than declared.
        MissingDevice: This machine does not have the device.
        InvalidProject: The device or the precision is not known.

    Example:
        >>> encoder = load_patch_encoder(PATCH_ENCODERS["efficientnet_lite0"])
        >>> features = encoder.encode(np.zeros((2, 256, 256, 3), np.uint8))
        >>> features.shape, features.dtype.name
        ((2, 1280), 'float32')
    """
    from torch import inference_mode

    from atlaspatch_core.encoders.fused_preprocessing import optimized_preprocessing
    from atlaspatch_core.encoders.optimizations import optimized_network
    from atlaspatch_core.encoders.running import Pooled

    where = resolve_device(device)
    how = effective_precision(precision or encoder.precision, where)
    network = load_network(encoder.name, encoder.architecture, encoder.source, encoder.adapt)
    stated_dim = getattr(network, "embedding_dim", None) if encoder.transform is None else None
    preprocess = None
    forward = pooled = Pooled(network, encoder.pooling, how, autocast=encoder.autocast).to(where).eval()
    with inference_mode(), no_exit(encoder.name):
        dim = stated_dim or _dim(encoder, pooled, where, 1)
        if compile == "auto":
            forward = optimized_network(pooled, encoder, where, input_side(encoder.transform))
            preprocess = optimized_preprocessing(encoder.transform, where)
    if encoder.dim not in (None, dim):
        raise WrongWeights(f"{encoder.name}: the network gives {dim} features, declared are {encoder.dim}")
    return LoadedPatchEncoder(encoder, dim, where, how, forward, preprocess, getattr(network, "cleanup", None))


def load_slide_encoder(
    encoder: SlideEncoder, *, device: str = "cpu", precision: Precision | None = None
) -> LoadedSlideEncoder:
    """Load a slide encoder, on CUDA in its makers' precision unless another is given, elsewhere in float32.

    Args:
        encoder: A declaration, such as ``SLIDE_ENCODERS["titan"]``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``float32``, ``float16`` or ``bfloat16``.

    Returns:
        The encoder; ``inference.encode_slide`` runs it on features (n, d) to an embedding (dim,).

    Raises:
        MissingWeights, WrongWeights, MissingDevice, InvalidProject: As ``load_patch_encoder``.
        MissingExtra: A library that it needs is not installed.

    Example:
        >>> load_slide_encoder(SLIDE_ENCODERS["mean-efficientnet_lite0"]).precision
        'float32'
    """
    if encoder.architecture is None or encoder.source is None:
        return LoadedSlideEncoder(encoder, "float32")
    where = resolve_device(device)
    how = effective_precision(precision or encoder.precision, where) if where.type == "cuda" else "float32"
    network = load_network(encoder.name, encoder.architecture, encoder.source, encoder.adapt)
    return LoadedSlideEncoder(encoder, how, network.to(where), where)


def load_network(name: str, architecture: Architecture, source: Weights, adapt: Adapt) -> "Module":
    """Return a network with its weights, on the CPU, fit for inference.

    Raises MissingWeights, MissingExtra, WrongWeights, ForeignExit.
    """
    with no_exit(name):
        return _load_network(name, architecture, source, adapt)


def _load_network(name: str, architecture: Architecture, source: Weights, adapt: Adapt) -> "Module":
    path = source.find(name)
    if path is not None:
        check_hash(path, source.spec(name).get("sha256"), name)
    if path is not None and isinstance(architecture, LoadsItself):
        return architecture.load(path, name).eval().requires_grad_(False)
    if path is None:
        return architecture.build(path).eval().requires_grad_(False)
    network = built_to_fill(architecture, path, adapt).eval().requires_grad_(False)
    load_strictly(network, read_checkpoint(path, name), adapt, name)
    return network


def _dim(encoder: PatchEncoder, forward: "Callable[[Tensor], Tensor]", device: "device", patches: int) -> int:
    """Ask the network for its dim by blank patches."""
    import torch

    side = input_side(encoder.transform) or encoder.patch_size or BLANK_SIDE
    kind = torch.uint8 if encoder.transform is None else torch.float32
    blank = torch.zeros(patches, 3, side, side, dtype=kind, device=device)
    features = _encoded_blank(encoder, forward, blank)
    if not isinstance(features, torch.Tensor):
        raise WrongWeights(f"{encoder.name}: gives a {type(features).__name__}; return a tensor (patches, dim)")
    if features.ndim != 2 or len(features) != patches:
        raise WrongWeights(f"{encoder.name}: gives an array of shape {tuple(features.shape)}, not (patches, dim)")
    return features.shape[1]


def _encoded_blank(encoder: PatchEncoder, forward: "Callable[[Tensor], Tensor]", blank: "Tensor") -> object:
    """Return what a network gives for blank patches. Raises WrongWeights where code of a user fails."""
    from torch import OutOfMemoryError

    try:
        return forward(blank)
    except (AtlasPatchError, OutOfMemoryError):
        raise
    except Exception as error:  # foreign code may be part of it; what is not of such code is raised again
        if not (place := foreign_place_of(error)):
            raise
        shape = tuple(blank.shape)
        raise WrongWeights(
            f"{encoder.name}: fails on pixels of shape {shape}: {type(error).__name__}: {error}{place}"
        ) from error
