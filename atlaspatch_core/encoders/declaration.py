"""What an encoder is: everything that decides its numbers, sayable without loading anything.

A declaration imports no torch and touches no network. The callables it holds (``build``, ``pooling``, ``adapt``,
``forward``) import what they need when they are called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from atlaspatch_core.encoders.declared_parts import Adapt as Adapt
from atlaspatch_core.encoders.declared_parts import Architecture as Architecture
from atlaspatch_core.encoders.declared_parts import Pooling as Pooling
from atlaspatch_core.encoders.declared_parts import StateDict as StateDict
from atlaspatch_core.encoders.declared_parts import Weights as Weights
from atlaspatch_core.encoders.declared_parts import as_published as as_published
from atlaspatch_core.encoders.declared_parts import network_output as network_output
from atlaspatch_core.encoders.declared_patch_encoder import Output as Output
from atlaspatch_core.encoders.declared_patch_encoder import PatchEncoder as PatchEncoder
from atlaspatch_core.encoders.declared_patch_encoder import WithoutCode as WithoutCode
from atlaspatch_core.encoders.declared_slide_encoder import SlideEncoder as SlideEncoder
from atlaspatch_core.encoders.declared_slide_encoder import SlideForward as SlideForward
from atlaspatch_core.encoders.precision import Precision as Precision
from atlaspatch_core.encoders.transforms import HALF as HALF
from atlaspatch_core.encoders.transforms import IMAGENET_MEAN as IMAGENET_MEAN
from atlaspatch_core.encoders.transforms import IMAGENET_STD as IMAGENET_STD
from atlaspatch_core.encoders.transforms import Interpolation as Interpolation
from atlaspatch_core.encoders.transforms import Transform as Transform


@dataclass(frozen=True, slots=True)
class Plugins:
    """Encoders that plugin files declare, by name."""

    patch: Mapping[str, PatchEncoder] = field(default_factory=dict)
    slide: Mapping[str, SlideEncoder] = field(default_factory=dict)


NO_PLUGINS = Plugins()
