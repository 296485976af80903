"""What an event says of an outcome: numbers as numbers, so that the UI plots them over the slides."""

import base64
import math
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from atlaspatch_core.outcome import Outcome

LARGEST_PICTURE = 8192
"""Bytes of a picture on an event: the event log keeps it forever, for every slide."""

Metadata = dict[str, dg.MetadataValue]


def event_metadata(outcome: Outcome) -> Metadata:
    """Return status, why, fingerprint, counts and measures, facts, seconds, path and picture of an outcome."""
    return {
        "status": dg.MetadataValue.text(outcome.status.value),
        **_given("why", outcome.why),
        **_given("fingerprint", outcome.fingerprint),
        **_numbers(outcome.numbers),
        **{name: dg.MetadataValue.text(text) for name, text in outcome.facts.items()},
        "seconds": dg.MetadataValue.float(round(outcome.seconds, 3)),
        **({"path": dg.MetadataValue.path(outcome.path)} if outcome.path else {}),
        **_picture(outcome.picture),
    }


def _given(name: str, text: str | None) -> Metadata:
    return {name: dg.MetadataValue.text(text)} if text else {}


def _numbers(numbers: Mapping[str, int | float]) -> Metadata:
    return {name: _number(value) for name, value in numbers.items() if math.isfinite(value)}


def _number(value: int | float) -> dg.MetadataValue:
    return dg.MetadataValue.float(float(value)) if isinstance(value, float) else dg.MetadataValue.int(int(value))


def _picture(path: Path | None) -> Metadata:
    """Return the JPEG inside Markdown: the UI shows it behind a link. Nothing when there is none, or it is too big."""
    if path is None or not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
        return {}
    coded = base64.b64encode(path.read_bytes()).decode()
    return {"picture": dg.MetadataValue.md(f"![{path.stem}](data:image/jpeg;base64,{coded})")}
