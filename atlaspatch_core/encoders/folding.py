"""Batch norms folded into the convolutions before them. Imports torch; import it inside functions.

In inference a batch norm multiplies and shifts each channel by constants. A convolution with changed weights does both
at once, and a pass over memory is saved. Nothing is traced: it takes two runs of the network on a few patches.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from torch import Tensor
from torch.nn import BatchNorm2d, Conv2d, Identity, Module, Parameter, Sequential
from torch.nn.utils.fusion import fuse_conv_bn_weights


@dataclass(frozen=True, slots=True)
class NormedConvolution:
    """A convolution whose output goes into a batch norm, and what is needed to fold and to unfold it."""

    convolution: Conv2d
    norm: BatchNorm2d
    parent: Module
    """The module that has the norm."""
    name: str
    """What it calls it."""
    weight: Tensor
    bias: Tensor | None


def fold_batch_norms(network: Module, run: Callable[[Tensor], Tensor], probe: Tensor, tolerance: float) -> int:
    """Fold batch norms in place, and return how many; 0, and the network as it was, where that changes its output.

    ``run`` returns features of the network for the probe, (b, 3, h, w); they may differ by ``tolerance`` at most.
    """
    expected, pairs = _observed(network, run, probe)
    for pair in pairs:
        _fold(pair)
    try:
        if pairs and not float((run(probe) - expected).abs().max()) <= tolerance:
            raise ArithmeticError("features change")
    except (ArithmeticError, RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
        for pair in pairs:
            _unfold(pair)
        return 0
    return len(pairs)


def _observed(
    network: Module, run: Callable[[Tensor], Tensor], probe: Tensor
) -> tuple[Tensor, list[NormedConvolution]]:
    """Return features of the probe, and the convolutions that went straight into a batch norm, each used once."""
    outputs: dict[int, tuple[Conv2d, Tensor]] = {}
    calls, pairs = Counter[Module](), list[tuple[Conv2d, BatchNorm2d]]()

    def note(layer: Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[layer] += 1
        if isinstance(layer, Conv2d):
            outputs[id(output)] = (layer, output)  # the tensor is kept, so that no other gets its id
        elif isinstance(layer, BatchNorm2d) and id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], layer))

    layers = (layer for layer in network.modules() if isinstance(layer, Conv2d | BatchNorm2d))
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        features = run(probe)
    finally:
        for hook in hooks:
            hook.remove()
    places = _places(network)
    once = [(first, norm) for first, norm in pairs if calls[first] == calls[norm] == len(places[norm]) == 1]
    return features, [
        NormedConvolution(first, norm, *places[norm][0], first.weight, first.bias)
        for first, norm in once
        if norm.running_var is not None and _rest_of(norm) is not None
    ]


def _places(network: Module) -> dict[Module, list[tuple[Module, str]]]:
    """Return by module where it stands: the modules that have it, and its name there."""
    places: dict[Module, list[tuple[Module, str]]] = {}
    for parent in network.modules():
        for name, child in parent.named_children():
            places.setdefault(child, []).append((parent, name))
    return places


def _rest_of(norm: BatchNorm2d) -> Module | None:
    """Return what a batch norm does beside normalising; None where that is not known."""
    if type(norm) is BatchNorm2d:
        return Identity()
    drop, act = getattr(norm, "drop", None), getattr(norm, "act", None)  # timm's BatchNormAct2d
    return Sequential(drop, act) if isinstance(drop, Module) and isinstance(act, Module) else None


def _fold(pair: NormedConvolution) -> None:
    first, norm, rest = pair.convolution, pair.norm, _rest_of(pair.norm)
    assert rest is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    statistics = norm.running_mean, norm.running_var, norm.eps
    first.weight, first.bias = fuse_conv_bn_weights(first.weight, first.bias, *statistics, norm.weight, norm.bias)
    setattr(pair.parent, pair.name, rest)


def _unfold(pair: NormedConvolution) -> None:
    pair.convolution.register_parameter("weight", cast("Parameter", pair.weight))
    pair.convolution.register_parameter("bias", cast("Parameter | None", pair.bias))
    setattr(pair.parent, pair.name, pair.norm)
