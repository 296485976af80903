"""What a slide adds to the identities of its outputs: the one place that the steps and the overview of them share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.patches.filter_spec import FilterSpec
from atlaspatch_core.patches.grid_spec import Rule
from atlaspatch_core.patches.scale import Sampling, level_facts
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.tissue.supplied_masks import is_image
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import EMPTY, OutputSpec

PROBES = 2
"""Version of the rule atlaspatch: before, contours were those of our outlines, whatever mask was supplied."""
UNNAMED_READERS = frozenset({"openslide", "pil", "image"})
"""What they read is identified without them. Another reader may give a file other pixels, and so another identity."""


def input_name(step: OutputKey) -> str:
    """Return what an input is called in identities: the geometry's name, which decides nothing, is left out."""
    return "/".join(part for part in (step.kind, step.encoder) if part)


def identity_of(
    stage: OutputSpec,
    fingerprints: Mapping[OutputKey, str],
    facts: Mapping[str, Any] = EMPTY,
    spec: Mapping[str, Any] | None = None,
) -> Identity:
    """Return what a stage's output of a slide is to be, from the fingerprints of what is upstream of it."""
    inputs = {input_name(step): fingerprints[step] for step in stage.upstream}
    return stage.identity(inputs, facts, spec)


def slide_facts(content: str, info: SlideInfo) -> dict[str, Any]:
    """Return what decides a slide: its content, as a fingerprint, and its scale.

    And, where they are unusual: who decodes it, and of which plugin that is, which image of the file was asked for,
    what of the file is not taken.
    """
    reader = {} if info.reader in UNNAMED_READERS else {"reader": info.reader}
    series = {} if info.series is None else {"series": info.series}
    reading = {"reading": info.reading} if info.reading else {}
    plugin = {"plugin": info.plugin} if info.plugin else {}
    scale = {"mpp": info.mpp, "magnification": info.magnification}
    return {"content": content} | scale | reader | series | reading | plugin


def mask_facts(info: SlideInfo) -> dict[str, Any]:
    """Return what of a slide decides a segmenter's mask beside its content: scales that differ by axis, if any do."""
    axes = [level.axes and list(level.axes) for level in info.levels]
    return {"axes": axes} if any(axes) else {}


def coords_facts(info: SlideInfo, sampling: Sampling, filters: FilterSpec | None = None) -> dict[str, Any]:
    """Return what of a slide decides its coords, beside its mask. Ink is sought on another level than patches have."""
    differing = mask_facts(info) if filters and filters.max_pen is not None else level_facts(info, sampling.level)
    return {"mpp": info.mpp, "sampling": sampling.facts()} | differing


def drawing_facts(rule: Rule, drawing: str, least_share: float) -> dict[str, Any]:
    """Return what decides coords by the rules of others beside the outlines: how a supplied mask was drawn.

    ``drawing`` tells one from another, empty for a mask that is a segmenter's or was edited since; ``least_share`` is
    that of a piece of tissue, of the slide's area.
    """
    probes = {"probes": PROBES} if rule == "atlaspatch" else {}
    if rule == "lattice" or not drawing:
        return probes
    least = {"min_tissue_share": least_share} if rule == "atlaspatch" and least_share else {}
    return probes | {"drawing": drawing} | least


def sampling_of(coords: Identity) -> Sampling:
    """Return how the patches of some coords are cut from their slide."""
    return Sampling(**coords.spec["sampling"])


def supplied_spec(polygons: str, simplify_um: float | None, labels: Sequence[int] = ()) -> dict[str, Any]:
    """Return what decides a mask that a person supplied: its polygons, and how closely an image was outlined.

    ``simplify_um`` is None for outlines, which are taken as they are; ``labels`` are the values that are tissue.
    """
    named = {"values": list(labels)} if labels else {}
    return {"supplied": polygons} | ({} if simplify_um is None else {"simplify_um": simplify_um} | named)


def supplied_identity(
    stage: OutputSpec,
    fingerprints: Mapping[OutputKey, str],
    source: Path,
    polygons: str,
    simplify_um: float,
    labels: Sequence[int] = (),
) -> Identity:
    """Return what a mask is to be that was supplied as ``source``; ``simplify_um`` and ``labels`` are for images."""
    return identity_of(
        stage, fingerprints, spec=supplied_spec(polygons, simplify_um if is_image(source) else None, labels)
    )
