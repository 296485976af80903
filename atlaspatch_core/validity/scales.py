"""Whether patches have a scale that their encoders were made for."""

from collections.abc import Iterator

from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.errors import GeometryMismatch
from atlaspatch_core.validity.recipe_warnings import Encoders, RecipeWarning

TOLERANCE = 0.1
"""Share by which a scale may lie beyond those an encoder was made for: 20x of scanners is 0.46 to 0.50 µm/px."""

CURE = 'take another target, or say other_scales = "{0}" (--other-scales {0})'
"""What to do about each, with another policy in the braces."""


def check_scales(project: Project, encoders: Encoders) -> tuple[RecipeWarning, ...]:
    """Return a warning for each encoder that was made for patches of another scale.

    A slide encoder with a magnification is none of them: ``check_geometry`` refuses another one.

    Raises GeometryMismatch with the first where the project refuses them. Nothing is said where it allows them.
    """
    texts = [text for geometry in project.geometry for text in _texts(geometry, encoders)]
    if texts and project.other_scales == "refuse":
        raise GeometryMismatch(f"{texts[0]}; {CURE.format('warn')}")
    cure = CURE.format("allow")
    return () if project.other_scales == "allow" else tuple(RecipeWarning(text, cure) for text in texts)


def _texts(geometry: Geometry, encoders: Encoders) -> Iterator[str]:
    """Yield what is odd in one geometry: what a slide encoder asks of its patch encoder goes before all."""
    here = [encoder for of, encoder in encoders if of == geometry]
    of_slides = [encoder for encoder in here if isinstance(encoder, SlideEncoder)]
    bound = [encoder for encoder in of_slides if encoder.scales is not None]
    bound_names = {name for encoder in bound for name in encoder.patch_encoders}
    refused_elsewhere = {encoder.name for encoder in of_slides if encoder.magnification is not None}
    for encoder in here:
        if encoder is None or encoder.scales is None or encoder.name in bound_names | refused_elsewhere:
            continue
        if _is_beyond(geometry.mpp, *encoder.scales):
            theirs = f"{geometry.mpp:.3g} µm/px ({geometry.magnification:.3g}x)"
            yield f"{encoder.name} was made for patches of {_range(*encoder.scales)}, and these have {theirs}"


def _is_beyond(mpp: float, smallest: float, largest: float) -> bool:
    return not smallest * (1 - TOLERANCE) <= mpp <= largest * (1 + TOLERANCE)


def _range(smallest: float, largest: float) -> str:
    """Return such as ``0.5 µm/px (20x)`` or ``0.25 to 2 µm/px (5x to 40x)``."""
    if smallest == largest:
        return f"{smallest:.3g} µm/px ({10 / smallest:.3g}x)"
    return f"{smallest:.3g} to {largest:.3g} µm/px ({10 / largest:.3g}x to {10 / smallest:.3g}x)"
