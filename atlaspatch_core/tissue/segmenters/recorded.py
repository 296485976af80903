"""A segmenter of a plugin as masks record it: all that decides their outlines, and nothing that could be executed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from atlaspatch_core.encoders.recorded import RECORDED, RecordedValues, refuse_plugin
from atlaspatch_core.tissue.segmenters.artifacts import ARTIFACT_NETWORK
from atlaspatch_core.tissue.segmenters.declaration import Segmenter
from atlaspatch_core.tissue.segmenters.networks import Network


def recorded_segmenter(spec: Mapping[str, Any]) -> Segmenter:
    """Return the segmenter of a mask whose ``spec()`` was recorded. Raises KeyError, TypeError for others."""
    networks = spec.get("networks", {})
    own = [_recorded_network(name, values) for name, values in networks.items() if name != ARTIFACT_NETWORK.name]
    segmenter = unrecorded_segmenter(spec["segmenter"], spec["plugin"])
    return replace(
        segmenter,
        version=spec["segmenter_version"],
        network=own[0] if own else None,
        knows_ink=ARTIFACT_NETWORK.name not in networks,
    )


def unrecorded_segmenter(name: str, plugin: str | None) -> Segmenter:
    """Return what stands for a segmenter of which there is no mask."""
    return Segmenter(name, version=0, license=RECORDED, source="", segment=_segment, plugin=plugin)


def _recorded_network(name: str, spec: Mapping[str, Any]) -> Network:
    return Network(
        name=name,
        architecture=RecordedValues(spec["architecture"]),
        source=RecordedValues(spec["weights"]),
        forward=_segment,
        mpp=spec["mpp"],
        side=spec["side"],
        overlap=spec["overlap"],
        license=RECORDED,
    )


def _segment(*_: Any) -> NoReturn:
    refuse_plugin()
