"""What TRIDENT calls its patch encoders."""

from collections.abc import Mapping

TRIDENT: Mapping[str, str] = {
    "conch_v1": "conch_v1",
    "conch_v15": "conch_v15",
    "uni_v1": "uni_v1",
    "uni_v2": "uni_v2",
    "ctranspath": "chief-ctranspath",
    "phikon": "phikon_v1",
    "phikon_v2": "phikon_v2_bilinear",
    "resnet50": "resnet50_layer3",
    "keep": "keep",
    "gigapath": "prov_gigapath",
    "virchow": "virchow_v1",
    "virchow2": "virchow_v2",
    "hoptimus0": "h_optimus_0",
    "hoptimus1": "h_optimus_1",
    "h0-mini": "h0_mini_cls",
    "musk": "musk_single_scale",
    "openmidnight": "openmidnight",
    "gpfm": "gpfm",
    "hibou_l": "hibou_l",
    "kaiko-vits8": "kaiko-vits8",
    "kaiko-vits16": "kaiko-vits16",
    "kaiko-vitb8": "kaiko-vitb8",
    "kaiko-vitb16": "kaiko-vitb16",
    "kaiko-vitl14": "kaiko-vitl14",
    "lunit-vits8": "lunit_vit_small_patch8_dino",
    "midnight12k": "midnight12k",
    "genbio-pathfm": "genbio-pathfm",
    "gemma4-e4b": "gemma4-e4b",
    "gemma4-26b": "gemma4-26b",
}
"""TRIDENT's key to our name for the same numbers. Nearly all keys are aliases too."""

SHARED = frozenset({"phikon_v2", "resnet50", "musk"})
"""Keys of TRIDENT that are AtlasPatch's names for other numbers. They mean AtlasPatch's, but in ``atlaspatch run``;
with ``trident-`` or ``atlaspatch-`` before them it is said whose are meant."""
PREFIXES = ("mean-", "max-", "meanmax-", "abmil-")
"""Before the name of a patch encoder: what is made of its features."""


def shared_name(name: str) -> str:
    """Return the key in a name of an encoder that means other numbers to AtlasPatch; empty where there is none."""
    key = _split(name)[1]
    return key if key in SHARED else ""


def as_trident(name: str) -> str:
    """Return the name of the numbers that TRIDENT means by a name.

    Example:
        >>> as_trident("resnet50"), as_trident("mean-musk"), as_trident("uni_v1")
        ('resnet50_layer3', 'mean-musk_single_scale', 'uni_v1')
    """
    prefix, key = _split(name)
    return prefix + TRIDENT[key] if key in SHARED else name


def _split(name: str) -> tuple[str, str]:
    """Return what is made of features, and whose, in lower case."""
    prefix = next((prefix for prefix in PREFIXES if name.lower().startswith(prefix)), "")
    return prefix, name.lower().removeprefix(prefix)
