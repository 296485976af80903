"""Patient encoders: slide encoders that can also take all slides of a case, for one embedding a case."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import NO_PLUGINS, Plugins, SlideEncoder, SlideForward
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.encoders.slide.mean import PREFIX as MEAN
from atlaspatch_core.encoders.slide.mean import mean_of_patches
from atlaspatch_core.encoders.slide.moozy import MOOZY, SlideOfCase, encode_case, encode_moozy
from atlaspatch_core.errors import UnknownName

CaseForward = Callable[[Any, Iterable[SlideOfCase]], Any]
"""(network or None, slides with one patch at least) to an array or tensor of shape (dim,)."""


def mean_of_case(network: Any, slides: Iterable[SlideOfCase]) -> NDArray[np.float32]:  # noqa: ARG001
    """Return the mean over all patches of all slides, shape (d,), summed in float64: every patch weighs the same."""
    total, count = np.zeros(1), 0
    for features, _, _ in slides:
        total, count = total + features.sum(axis=0, dtype=np.float64), count + len(features)
    return (total / count).astype(np.float32)


FOR_CASES: Mapping[SlideForward, CaseForward] = {mean_of_patches: mean_of_case, encode_moozy: encode_case}
"""What takes a slide, to what takes the slides of a case. For a case of one slide both give the same."""


def find_patient_encoder(
    name: str, weights: Mapping[str, Path] | None = None, plugins: Plugins = NO_PLUGINS
) -> SlideEncoder:
    """Return the encoder of a name: ``mean-<patch encoder>`` or ``moozy``. Raises UnknownName."""
    choices = f"known: {MOOZY.name}, {MEAN}<patch encoder> such as {MEAN}uni_v1"
    if name.lower() == MEAN.rstrip("-"):
        raise UnknownName(f"{name}: say whose features; {choices}")
    try:
        encoder = find_slide_encoder(name, weights, plugins)
    except UnknownName as error:
        if name.lower().startswith(MEAN):
            raise
        raise UnknownName(f"no patient encoder is called {name}; {choices}") from error
    if encoder.forward not in FOR_CASES:
        raise UnknownName(f"{name} encodes slides, not patients; {choices}")
    return encoder
