"""What an event says of an outcome: numbers as numbers, so that the UI plots them over the slides."""

import base64
import math
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from atlaspatch_assets.lib.page_links import page_links
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.validity.outcome import Outcome, Status

LARGEST_PICTURE = 8192
"""Bytes of a picture on an event: the event log keeps it forever, for every slide."""

UNCHANGED = "it was valid when this run looked at it"

Metadata = dict[str, dg.MetadataValue]


def event_metadata(outcome: Outcome) -> Metadata:
    """Return what an outcome says, from its status and why to its recipe, numbers, seconds and path."""
    return {
        "status": dg.MetadataValue.text(outcome.status.value),
        **_text_metadata("why", outcome_reason(outcome)),
        **picture_metadata(outcome.picture),
        **_text_metadata("warnings", "; ".join(outcome.warnings)),
        **_text_metadata("fingerprint", outcome.fingerprint),
        **({"recipe": dg.MetadataValue.json(dict(outcome.recipe))} if outcome.recipe else {}),
        **_numbers(outcome.numbers),
        **{name: dg.MetadataValue.text(text) for name, text in outcome.facts.items() if text},
        "seconds": dg.MetadataValue.float(round(outcome.seconds, 3)),
        **({"path": dg.MetadataValue.path(shown_path(outcome.path))} if outcome.path else {}),
        **page_links(f"/slides/{outcome.stem}"),
    }


def outcome_reason(outcome: Outcome) -> str:
    """Return the reason of an outcome in words."""
    if outcome.status is Status.REUSED and not outcome.why:
        return UNCHANGED
    return "it was not there yet" if outcome.why == "missing" else outcome.why


def _text_metadata(name: str, text: str | None) -> Metadata:
    return {name: dg.MetadataValue.text(text)} if text else {}


def _numbers(numbers: Mapping[str, int | float]) -> Metadata:
    return {name: _number(value) for name, value in numbers.items() if math.isfinite(value)}


def _number(value: int | float) -> dg.MetadataValue:
    """Return a count as it is, and a measure with six digits: it is for reading and for plots."""
    return (
        dg.MetadataValue.float(float(f"{value:.6g}")) if isinstance(value, float) else dg.MetadataValue.int(int(value))
    )


def picture_metadata(path: Path | None) -> Metadata:
    """Return the JPEG inside Markdown: the UI shows it behind a link. Nothing when there is none, or it is too big."""
    if path is None or not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
        return {}
    coded = base64.b64encode(path.read_bytes()).decode()
    return {"picture": dg.MetadataValue.md(f"![{path.stem}](data:image/jpeg;base64,{coded})")}
