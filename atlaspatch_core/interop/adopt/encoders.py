"""Our names for the encoders of others."""

from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.patch.trident import TRIDENT
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.encoders.slide.mean import PREFIX
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.layouts.found import FolderLayout


def our_patch_encoder(name: str, layout: FolderLayout) -> str:
    """Return the name under which the same numbers are known here; one that is not known stays as it is."""
    if layout is FolderLayout.TRIDENT:
        name = TRIDENT.get(name, name)
    try:
        return find_patch_encoder(name).name
    except UnknownName:
        return name


def our_slide_encoder(name: str, layout: FolderLayout) -> str:
    """Return the name under which the same numbers are known here; one that is not known stays as it is."""
    if name.startswith(PREFIX):
        return PREFIX + our_patch_encoder(name.removeprefix(PREFIX), layout)
    try:
        return find_slide_encoder(name).name
    except UnknownName:
        return name
