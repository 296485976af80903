"""Projects whose embeddings wait, so that their runs can be killed in between."""

from pathlib import Path

from small_projects import GEOMETRY, project
from tracked_folders import PLUGIN_HEAD

from atlaspatch_core.config.project import Project

PLUGIN = f"""{PLUGIN_HEAD}
def wait_at_the_second(network, features, coords, patch_size_level0):
    return wait_at_gate(network, features, coords, 0) if (HERE / "first").exists() else at_once(features)


def at_once(features):
    (HERE / "first").touch()
    return features.mean(axis=0)


PATCH_ENCODERS = [
    PatchEncoder(
        name="tiny", architecture=Built(mean_colour), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0"
    )
]
SLIDE_ENCODERS = [
    SlideEncoder(name="gated", patch_encoder="tiny", dim=3, forward=wait_at_the_second, license="CC0-1.0")
]
"""
"""An encoder that embeds one slide, and waits at the next as long as there is a ``gate``."""


def gated(folder: Path) -> Project:
    """Return a project with that encoder."""
    geometry = GEOMETRY | {"patch_encoders": ["tiny"], "slide_encoders": ["gated"]}
    return project(folder, geometry=[geometry], plugins=[folder / "plugin.py"])
