"""A project with every encoder by its own name: it asks for the same, and says so without its plugins, too."""

from collections.abc import Iterable

from atlaspatch_core.config.project import Project
from atlaspatch_core.encoders.declaration import Plugins
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder


def with_canonical_names(project: Project, plugins: Plugins) -> Project:
    """Return the project with canonical names in the place of aliases and ``<name>:<output>``; raises UnknownName."""

    def patch_names(typed: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(find_patch_encoder(name, None, plugins).name for name in typed))

    def slide_names(typed: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(find_slide_encoder(name, None, plugins).name for name in typed))

    geometry = tuple(
        one.model_copy(
            update={
                "patch_encoders": patch_names(one.patch_encoders),
                "slide_encoders": slide_names(one.slide_encoders),
            }
        )
        for one in project.geometry
    )
    patients = project.patients.model_copy(update={"encoders": slide_names(project.patients.encoders)})
    return project.model_copy(update={"geometry": geometry, "patients": patients})
