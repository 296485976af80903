"""How the masks of a project are made, sayable without opening a slide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlaspatch_core.option import stated_values
from atlaspatch_core.tissue.segmenters.artifacts import ARTIFACT_NETWORK, ARTIFACTS, PENMARKS
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import Network
from atlaspatch_core.tissue.segmenters.table import find_segmenter

PENMARKS_VERSION = 2
"""Raised whenever ``remove_penmarks`` gives other numbers than before; without it no mask has it in its fingerprint."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """How the masks of a project are made."""

    tissue: TissueSpec
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Name of a network to a local file; names of other things do not matter."""
    segmenter: Segmenter | None = None
    """That of a plugin; None for the one of this package that ``tissue`` names."""

    @property
    def maker(self) -> Segmenter:
        """The segmenter. Raises UnknownName."""
        return self.segmenter or find_segmenter(self.tissue.segmenter)

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks that a mask takes, the segmenter's own first; each states its licence and its source."""
        own = self.maker.network
        return (*((own,) if own else ()), *((ARTIFACT_NETWORK,) if removed_classes(self.tissue, self.maker) else ()))

    def spec(self) -> dict[str, Any]:
        """Return everything that decides a mask beside the slide, fit for JSON: local weights by their sha256.

        Raises UnknownName for the segmenter, MissingWeights when a local file is not there.
        """
        networks = {network.name: network.with_local_weights(self.weights).spec() for network in self.networks}
        own = stated_values(self.tissue) | {"segmenter_version": self.maker.version}
        own |= {"penmarks_version": PENMARKS_VERSION} if self.tissue.remove_penmarks else {}
        own |= {"plugin": self.maker.plugin} if self.maker.plugin else {}
        return own | ({"networks": networks} if networks else {})


def removed_classes(spec: TissueSpec, segmenter: Segmenter) -> tuple[int, ...]:
    """Return the classes of the artefact network that are taken away; none where it is not needed."""
    if spec.remove_artifacts:
        return ARTIFACTS
    return PENMARKS if spec.remove_penmarks and not segmenter.knows_ink else ()
