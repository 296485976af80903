"""What is odd about what a project asks for, told before any work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder

Encoders = Sequence[tuple[Geometry | None, PatchEncoder | SlideEncoder | None]]
"""Encoders, with the geometry of the patches that each gets."""


@dataclass(frozen=True, slots=True)
class RecipeWarning:
    """Something that is odd, and what to do about it."""

    text: str
    cure: str
    """As an imperative clause."""

    def __str__(self) -> str:
        return f"{self.text}; {self.cure}"


def unkept_attention(project: Project, encoders: Encoders) -> Iterator[RecipeWarning]:
    """Yield a warning for each geometry that asks for attention, and whose slide encoders tell none."""
    for geometry in project.geometry:
        of_slides = [item for of, item in encoders if of == geometry and isinstance(item, SlideEncoder)]
        if geometry.keep_attention and all(encoder.attention is None for encoder in of_slides):
            names = ", ".join(dict.fromkeys(encoder.name for encoder in of_slides)) or "there is none"
            yield RecipeWarning(
                f"keep_attention keeps nothing: no slide encoder tells how much each patch counts ({names})",
                "name one that pools by attention, such as feather or abmil-uni_v1, or leave --keep-attention out",
            )
