"""Weights that a project names: for whom they are, whatever name of it, and in whatever case, was written."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.consent import executes_plugins
from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.encoders.names import by_any_name, unknown
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, find_slide_encoder
from atlaspatch_core.errors import InvalidProject, UnknownName
from atlaspatch_core.tissue.segmenters import SEGMENTERS
from atlaspatch_core.tissue.segmenters.artifacts import ARTIFACT_NETWORK
from atlaspatch_core.validity.recipe_warnings import RecipeWarning

Named = PatchEncoder | SlideEncoder
OF_TISSUE = {ARTIFACT_NETWORK.name, *(segmenter.network.name for segmenter in SEGMENTERS.values() if segmenter.network)}
"""Networks that masks of this package's segmenters take."""


def with_known_weights(project: Project, plugins: Plugins, networks: Collection[str]) -> Project:
    """Return the project with its weights under the canonical names of those that they are for.

    ``networks`` are those that its masks take. A command that only reads does not know all names of plugins: what it
    does not know is left as it is. Raises UnknownName, and InvalidProject for two files for one.
    """
    if not project.weights:
        return project
    if executes_plugins():
        for key in project.weights:
            _check_known(key, plugins, networks)
    files = by_owner(project.weights, plugins, networks)
    for key, path in project.weights.items():
        owners = owners_of(key, plugins, networks) or (key,)
        if path not in [files[owner] for owner in owners]:
            raise InvalidProject(
                f"weights are given twice for {owners[0]}: {path} as {key}, and {files[owners[0]]}; leave one out"
            )
    return project.model_copy(update={"weights": files})


def by_owner(
    weights: Mapping[str, Path], plugins: Plugins = NO_PLUGINS, networks: Collection[str] = ()
) -> dict[str, Path]:
    """Return canonical name to file; what is given by that very name counts before what is given by another.

    A key that is no known name stays as it is.
    """
    files = {owner: path for key, path in weights.items() for owner in owners_of(key, plugins, networks) or (key,)}
    return files | {key: path for key, path in weights.items() if key in files}


def owners_of(key: str, plugins: Plugins = NO_PLUGINS, networks: Collection[str] = ()) -> tuple[str, ...]:
    """Return the canonical names of networks and encoders that are called so; a slide encoder may share its name."""
    names = [name for name in (*networks, *OF_TISSUE) if name.lower() == key.lower()]
    for find in (find_patch_encoder, find_slide_encoder):
        with suppress(UnknownName):
            names.append(find(key, None, plugins).name)
    return tuple(dict.fromkeys(names))


def _check_known(key: str, plugins: Plugins, networks: Collection[str]) -> None:
    """Raise UnknownName where nothing is called so."""
    if owners_of(key, plugins, networks):
        return
    patch, slide = {**PATCH_ENCODERS, **plugins.patch}, {**SLIDE_ENCODERS, **plugins.slide}
    error = unknown("encoder or network", key, [*by_any_name(patch), *by_any_name(slide), *networks, *OF_TISSUE])
    raise UnknownName(f"weights are given for {key}: {error}")


def unused_weights(weights: Iterable[str], encoders: Iterable[Named | None], networks: Iterable[str]) -> list[str]:
    """Return the canonical names, sorted, of weights that none of these encoders and networks has."""
    runs = [encoder for encoder in encoders if encoder]
    used = {encoder.name for encoder in runs} | {
        encoder.network for encoder in runs if isinstance(encoder, PatchEncoder)
    }
    return sorted(set(weights) - used - set(networks))


def unused_warnings(names: Sequence[str]) -> Iterator[RecipeWarning]:
    """Yield a warning for weights that nothing has, if there are any."""
    if names:
        text = f"weights are given for {', '.join(names)}, which does not run here"
        yield RecipeWarning(text, "correct the name, or leave the weights out")
