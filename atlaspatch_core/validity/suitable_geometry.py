"""Whether a geometry gives encoders the patches that they were made for."""

from collections.abc import Sequence
from math import isclose

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.errors import GeometryMismatch


def suitable_geometry(encoder: SlideEncoder, geometries: Sequence[Geometry]) -> Geometry:
    """Return the first geometry that an encoder was made for. Raises GeometryMismatch."""
    mismatch = GeometryMismatch(f"{encoder.name}: there is no geometry; add a [[geometry]] to the project file")
    for geometry in geometries:
        try:
            check_geometry(geometry, [encoder])
        except GeometryMismatch as error:
            mismatch = error
        else:
            return geometry
    raise mismatch


def check_geometry(geometry: Geometry, encoders: Sequence[SlideEncoder]) -> None:
    """Raise GeometryMismatch when an encoder was made for patches of another size or magnification.

    Both are said of every encoder that was made for some, so that a clash names all of them. Magnifications within 1 %
    are one.
    """
    made_for = [encoder for encoder in encoders if encoder.patch_size is not None]
    if any(encoder.patch_size != geometry.patch_size for encoder in made_for):
        sizes = ", ".join(f"{encoder.name} needs {encoder.patch_size}" for encoder in made_for)
        raise GeometryMismatch(
            f"patch size {geometry.patch_size} px does not suit the slide encoders ({sizes}); {_cure(made_for)}"
        )
    made_for = [encoder for encoder in encoders if encoder.magnification is not None]
    if any(not isclose(encoder.magnification or 0, geometry.magnification, rel_tol=0.01) for encoder in made_for):
        powers = ", ".join(f"{encoder.name} needs {encoder.magnification:g}x" for encoder in made_for)
        raise GeometryMismatch(
            f"magnification {geometry.magnification:.4g}x does not suit the slide encoders ({powers}); "
            f"{_cure(made_for)}"
        )


def _cure(encoders: Sequence[SlideEncoder]) -> str:
    """Return what to do: one geometry for all, where their wishes agree."""
    wishes = {(encoder.patch_size, encoder.magnification) for encoder in encoders}
    if len(wishes) > 1:
        return "give each a run, or a geometry, of its own"
    (size, magnification) = wishes.pop()
    return f"take patch size {size}" + (f" at {magnification:g}x" if magnification else "")
