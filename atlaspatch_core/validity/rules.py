"""The rules of reuse, each once: when a stored output is what the project asks for, and the sentence why it is not.

Values in, values out: nothing is read here. The pipeline asks for one slide with its identities at hand, the overview
for all slides with fingerprints alone.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from atlaspatch_core.fingerprint import UPSTREAM, Identity, is_unverified, why_stale
from atlaspatch_core.slides.sections import SeriesChoice
from atlaspatch_core.storage.hdf5 import StoredResult
from atlaspatch_core.storage.records import SlideRecord
from atlaspatch_core.storage.schema import FOUND_DAMAGED
from atlaspatch_core.validity.identities import input_name
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec

FORCED = "forced"
TAKEN_AWAY = "the supplied mask was taken away"
DAMAGED_ON_DISK = "it was damaged on disk"
INTERRUPTED = "an interrupted run left the mask before it"


class State(StrEnum):
    """Whether an output may be used."""

    FRESH = "fresh"
    STALE = "stale"
    """It is there, and is not what the project asks for now; or something upstream of it is."""
    MISSING = "missing"
    FAILED = "failed"
    """The last attempt to make it failed, or it cannot be made."""


class StoredMask(Protocol):
    """What is remembered of a mask that a segmenter made, or that was supplied."""

    @property
    def polygons(self) -> str:
        """Return the fingerprint of its polygons."""
        ...

    @property
    def superseded(self) -> str | None:
        """Return the fingerprint of the polygons before, which lie there still after a kill between two writes."""
        ...

    @property
    def supplied(self) -> str:
        """Return the signature of the file that was supplied, empty for a segmenter's mask."""
        ...

    @property
    def supplied_polygons(self) -> str:
        """Return the fingerprint of the polygons in that file."""
        ...


class SlideOptions(NamedTuple):
    """What a user asks for that decides how a slide is identified."""

    stated_mpp: float | None
    full_hash: bool
    reader: str | None
    mpp_keys: tuple[str, ...]
    series: SeriesChoice = None
    square_pixels: bool = False


def is_valid(stored: str | None, expected: str) -> bool:
    """Tell by fingerprints whether a stored output is the one that is asked for: they are equal.

    An output that was adopted unverified says so in its identity, so that it never is.
    """
    return stored == expected


def stale_reason(stored: Identity | StoredResult | None, expected: Identity) -> str:
    """Return what differs, or an empty text where the stored output is valid; its identity is read only to say why."""
    if stored is not None and is_valid(stored.fingerprint, expected.fingerprint):
        return ""
    if isinstance(stored, StoredResult) and stored.fingerprint == FOUND_DAMAGED:
        return DAMAGED_ON_DISK
    return why_stale(stored.identity if isinstance(stored, StoredResult) else stored, expected)


def compute_reason(stored: Identity | StoredResult | None, expected: Identity, *, forced: bool, cause: str = "") -> str:
    """Return why an output is to be computed, or an empty text where the stored one is reused.

    ``cause`` is told in place of what differs, where it is known.
    """
    if forced:
        return FORCED
    why = stale_reason(stored, expected)
    return why and (cause or why)


def state_of(
    stored: str | None,
    expected: str | None,
    *,
    failure: str,
    reasons: Iterable[str] = (),
    upstream: str = "",
    upstream_first: Sequence[str] = (),
    certain: bool = False,
    difference: Callable[[], str],
) -> tuple[State, str]:
    """Return the state of an output, and why.

    ``reasons`` are those that hold whatever the fingerprints are, empty where they do not; the first one is told.
    Without an expected fingerprint, nothing speaks against what is stored. ``difference`` is asked for only if needed;
    what changed ``upstream`` is told where the output itself is asked for as before, unless it is ``certain`` that the
    expected fingerprint stays the one that is expected now. Of two changes upstream that is told which comes first in
    ``upstream_first``, reasons in the order of the inputs, as a run tells it.
    """
    if failure:
        return State.FAILED, failure
    if stored is None:
        return State.MISSING, ""
    if reason := next(filter(None, reasons), ""):
        return State.STALE, reason
    own = "" if expected is None or is_valid(stored, expected) else difference()
    order = {reason: place for place, reason in enumerate(upstream_first)}
    of_upstream = upstream and is_of_upstream(own) and (own or not certain)
    why = min((upstream, own or upstream), key=lambda reason: order.get(reason, len(order))) if of_upstream else own
    return (State.STALE, why) if why else (State.FRESH, "")


def is_of_upstream(reason: str) -> bool:
    """Tell whether a reason names nothing of the output itself."""
    return not reason or reason.startswith(UPSTREAM)


def changed_inputs(stage: OutputSpec, stored: Identity, fingerprints: Mapping[OutputKey, str]) -> list[OutputKey]:
    """Return what is not what a stored output was made from; that alone makes an output unfit that is trusted."""
    return [step for step in stage.upstream if stored.inputs.get(input_name(step), "") != fingerprints.get(step)]


def is_forced(step: OutputKey, *, force: bool, selected: Collection[OutputKey], trusted: Collection[OutputKey]) -> bool:
    """Tell whether an output is computed whatever is stored: it is asked for, and is not one that is trusted."""
    return force and step in selected and step not in trusted


def has_all_rows(step: OutputKey, rows: int, patches: int) -> bool:
    """Tell whether a stored output is whole: features have a row for every patch."""
    return step.kind != "patch_features" or rows == patches


def same_making(stored: Identity, expected: Identity) -> bool:
    """Tell whether two outputs are made in the same way, be it from other inputs."""
    return (stored.version, stored.spec) == (expected.version, expected.spec)


def maker_changed_alone(stored: Identity, expected: Identity) -> bool:
    """Tell whether a known maker made an output of the very inputs that are asked for, in another way."""
    return stored.inputs == expected.inputs and stored != expected and not is_unverified(stored)


def options_reason(stored: SlideOptions, expected: SlideOptions) -> str:
    """Return which option differs from those that a slide was identified with, or an empty text."""
    if stored == expected:
        return ""
    if stored.full_hash != expected.full_hash:
        return f"full_hash {str(stored.full_hash).lower()} → {str(expected.full_hash).lower()}"
    if stored.reader != expected.reader:
        return f"reader {stored.reader or 'found out'} → {expected.reader or 'found out'}"
    if stored.mpp_keys != expected.mpp_keys:
        return f"mpp_keys {' '.join(stored.mpp_keys) or 'none'} → {' '.join(expected.mpp_keys) or 'none'}"
    if stored.series != expected.series:
        return f"series {_or_largest(stored.series)} → {_or_largest(expected.series)}"
    if stored.square_pixels != expected.square_pixels:
        return f"square_pixels {str(stored.square_pixels).lower()} → {str(expected.square_pixels).lower()}"
    return f"stated mpp {stored.stated_mpp or 'none'} → {expected.stated_mpp or 'none'}"


def _or_largest(series: SeriesChoice) -> str:
    return "the largest" if series is None else str(series)


def slide_reason(stored: SlideRecord | None, record: SlideRecord) -> str:
    """Return why a slide is another than it was, or an empty text: the option that was changed, or what differs."""
    why = stale_reason(stored.identity if stored else None, record.identity)
    return why and ((stored and options_reason(options_of(stored), options_of(record))) or why)


def options_of(record: SlideRecord) -> SlideOptions:
    """Return what was asked for when a slide was identified."""
    options = (record.stated_mpp, record.full_hash, record.reader, record.mpp_keys, record.info.series)
    return SlideOptions(*options, record.square_pixels)


def is_automatic(mask: StoredMask | None, polygons: str) -> bool:
    """Tell whether polygons are those of a segmenter or a supplied mask; others are a person's and stay."""
    return mask is not None and polygons in (mask.polygons, mask.superseded)


def interrupted_reason(mask: StoredMask | None, polygons: str | None) -> str:
    """Return why automatic polygons are not those of their record, or an empty text."""
    return INTERRUPTED if mask and polygons and polygons != mask.polygons else ""


def source_reason(mask: StoredMask | None, source: str | None, polygons: str = "") -> str:
    """Return why a mask has another source than before, or an empty text.

    ``source`` is the name of the file supplied now, if any, ``polygons`` what is in it where it was touched.
    """
    if mask is None:
        return ""
    if source is None:
        return TAKEN_AWAY if mask.supplied else ""
    if not mask.supplied:
        return f"{source} was supplied"
    return f"{source} changed" if polygons and polygons != mask.supplied_polygons else ""
