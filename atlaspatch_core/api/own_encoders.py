"""Encoders that a caller has at hand, beside those that have a name here."""

from typing import TYPE_CHECKING

from atlaspatch_core.errors import InvalidProject, UnknownName

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.encoders.declaration import PatchEncoder, Plugins, SlideEncoder


def own_encoder(encoder: object, project: "Project", *, has_features: bool) -> "Plugins":
    """Return an encoder that is given itself, and none for a name. Raises InvalidProject for anything else.

    Where features are given, nothing has to be known of the patch encoder that made them.
    """
    from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins, SlideEncoder

    match encoder:
        case str():
            return NO_PLUGINS
        case PatchEncoder():
            return Plugins(patch={encoder.name: encoder})
        case SlideEncoder():
            return Plugins(_stand_in(encoder, project, has_features=has_features), {encoder.name: encoder})
    kind = type(encoder).__name__
    raise InvalidProject(f"ap.encode: a {kind} is no encoder; give a name, or what PatchEncoder.from_module returns")


def _stand_in(encoder: "SlideEncoder", project: "Project", *, has_features: bool) -> "dict[str, PatchEncoder]":
    """Return what stands for a slide encoder's patch encoders that nobody declares; nothing for those that are known.

    Raises UnknownName where it is to encode.
    """
    from atlaspatch_core.encoders.patch import find_patch_encoder
    from atlaspatch_core.encoders.recorded import unrecorded_patch_encoder
    from atlaspatch_core.validity.project_plugins import plugins_of

    stand_ins, plugins = {}, plugins_of(project)
    for name in encoder.patch_encoders:
        try:
            find_patch_encoder(name, project.weights, plugins)
        except UnknownName as error:
            if not has_features:
                why = f"it takes features of {name}, and no patch encoder is called so; give them as features="
                raise UnknownName(f"{encoder.name}: {why}") from error
            stand_ins[name] = unrecorded_patch_encoder(name, None)
    return stand_ins
