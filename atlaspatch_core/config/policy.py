"""What a project allows: licences, and code that lies beside weights. Asked before anything is loaded."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from atlaspatch_core.config.project import Project
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.encoders.recorded import is_recorded
from atlaspatch_core.encoders.remote import RemoteModel, allowed_by_environment, not_allowed
from atlaspatch_core.errors import LicenseNotAllowed, RemoteCodeNotAllowed

Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)


def permitted(encoder: Encoder, project: Project) -> Encoder:
    """Return the encoder, told that its code may be run where it has some, or as it is without that code.

    Raises LicenseNotAllowed, RemoteCodeNotAllowed.
    """
    if is_recorded(encoder):  # it is looked at, and cannot run
        return encoder
    check_license(encoder.name, encoder.license, project.allow_licenses)
    architecture = encoder.architecture
    if not isinstance(architecture, RemoteModel):
        return encoder
    allowed = {name.lower() for name in project.allow_remote_code}
    if _names_of(encoder) & allowed or allowed_by_environment(encoder.name):
        return replace(encoder, architecture=replace(architecture, allowed=True))
    if isinstance(encoder, PatchEncoder) and encoder.without_code is not None:
        return encoder.built_here()
    raise RemoteCodeNotAllowed(not_allowed(encoder.name))


def _names_of(encoder: Encoder) -> set[str]:
    """Return the names, in lower case, under which an encoder's code may be allowed: those of its network, too."""
    whole = encoder.whole if isinstance(encoder, PatchEncoder) else None
    names = [encoder.name, *encoder.aliases, *((whole.name, *whole.aliases) if whole else ())]
    words = [f"{name}:{encoder.output}" for name in names] if isinstance(encoder, PatchEncoder) else []
    return {word.lower() for word in (*names, *words)}


def check_license(name: str, license: str, allowed: Iterable[str] | None) -> None:  # noqa: A002
    """Raise LicenseNotAllowed when a licence is not among those allowed, in any case of letters; None allows all."""
    if allowed is not None and license.lower() not in {word.lower() for word in allowed}:
        among = ", ".join(sorted(allowed)) or "none"
        raise LicenseNotAllowed(
            f"{name}: its licence {license} is not among allow_licenses ({among}) of the project; "
            f"choose another, or allow this one"
        )
