"""Encoders of plugins as results record them: all that decides their numbers, and nothing that could be executed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.errors import InvalidProject, MissingWeights

RECORDED = "unknown, as its plugin was not executed"
"""Stands for the licence of such an encoder, which nobody records."""
Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)


@dataclass(frozen=True, slots=True)
class RecordedValues:
    """An architecture, or weights, of which the description is known alone."""

    values: Any
    doubt: str = ""
    """Why not even that is known: one sentence with a cure."""

    def build(self, weights: Path | None) -> NoReturn:  # noqa: ARG002
        """Raise InvalidProject."""
        refuse_plugin()

    def find(self, encoder: str) -> NoReturn:  # noqa: ARG002
        """Raise InvalidProject."""
        refuse_plugin()

    def spec(self, encoder: str = "") -> Any:  # noqa: ARG002
        """Return what was recorded. Raises MissingWeights where that is in doubt: it has no identity then."""
        if self.doubt:
            raise MissingWeights(self.doubt)
        return self.values


def is_recorded(encoder: PatchEncoder | SlideEncoder) -> bool:
    """Tell whether an encoder is known by records alone, or takes the features of one that is."""
    return encoder.license == RECORDED


def recorded_patch_encoder(spec: Mapping[str, Any], dim: int | None) -> PatchEncoder:
    """Return the patch encoder whose ``spec()`` was recorded. Raises KeyError, TypeError, ValueError for others."""
    transform: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in (spec["transform"] or {}).items()
    }
    return PatchEncoder(
        name=spec["encoder"],
        architecture=RecordedValues(spec["architecture"]),
        source=RecordedValues(spec["weights"]),
        dim=dim,
        adapt=_unknown(spec["adapt"]),
        transform=Transform(**transform) if transform else None,
        pooling=_unknown(spec["pooling"]),
        precision=spec["precision"],
        autocast=spec["autocast"],
        license=RECORDED,
        plugin=spec["plugin"],
    )


def recorded_slide_encoder(spec: Mapping[str, Any], dim: int | None) -> SlideEncoder:
    """Return the slide encoder whose ``spec()`` was recorded; raises as above."""
    return SlideEncoder(
        name=spec["encoder"],
        patch_encoder=spec["patch_encoder"],
        further_patch_encoders=tuple(spec.get("further_patch_encoders", ())),
        architecture=None if spec["architecture"] is None else RecordedValues(spec["architecture"]),
        source=None if spec["weights"] is None else RecordedValues(spec["weights"]),
        dim=dim,
        adapt=_unknown(spec["adapt"]),
        forward=_unknown(spec["forward"]),
        precision=spec["precision"],
        license=RECORDED,
        plugin=spec["plugin"],
    )


def unrecorded_patch_encoder(name: str, plugin: str | None, doubt: str = "") -> PatchEncoder:
    """Return what stands for a patch encoder of which there is no result, or may be none: ``doubt`` says so."""
    values = RecordedValues(None, doubt)
    return PatchEncoder(
        name=name, architecture=values, source=values, dim=None, transform=None, license=RECORDED, plugin=plugin
    )


def unrecorded_slide_encoder(name: str, patch_encoder: str, plugin: str | None, doubt: str = "") -> SlideEncoder:
    """Return what stands for a slide encoder of which there is no result; ``doubt`` as above."""
    encoder = SlideEncoder(
        name=name, patch_encoder=patch_encoder, dim=None, forward=_unknown(name), license=RECORDED, plugin=plugin
    )
    return replace(encoder, architecture=RecordedValues(None, doubt)) if doubt else encoder


def as_doubted(encoder: SlideEncoder, of: PatchEncoder) -> SlideEncoder:
    """Return the slide encoder ``mean-…`` or the like of a patch encoder; what is in doubt of this one is of that."""
    if not isinstance(of.architecture, RecordedValues) or not of.architecture.doubt:
        return encoder
    return replace(encoder, architecture=of.architecture, plugin=of.plugin)


def of_plugin(encoder: Encoder, sha256: str) -> Encoder:
    """Return the encoder as a plugin of another content declares it, as far as can be told."""
    return replace(encoder, plugin=sha256)


def _unknown(name: str) -> Callable[..., Any]:
    """Return what stands for a function of this name."""

    @named(name)
    def unknown(*_: Any, **__: Any) -> NoReturn:
        refuse_plugin()

    return unknown


def refuse_plugin() -> NoReturn:
    """Raise InvalidProject: code of a plugin was not executed, and is called."""
    raise InvalidProject("plugins are executed by commands that compute alone; use 'atlaspatch run' or 'materialize'")
