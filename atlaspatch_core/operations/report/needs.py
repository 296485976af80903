"""What needs a person today: slides grouped by what is wrong with them, each group with the way to mend it."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from atlaspatch_core.validity.rules import is_of_upstream
from atlaspatch_core.validity.states import State, Validity


class NeedKind(StrEnum):
    """Why a person is needed; in the order of a page."""

    STUCK = "stuck"
    """Work that began and does not go on."""
    FAILED = "failed"
    STALE = "stale"
    ODD = "odd"
    """Made, and unlike what is usual."""
    REMOVED = "removed"
    """The slide's file is gone, its outputs are not."""
    MISSING = "missing"
    """Not made yet, and nothing works on it."""


MEANINGS = {
    NeedKind.STUCK: "began and does not go on",
    NeedKind.FAILED: "could not be made",
    NeedKind.STALE: "is not what the project asks for now",
    NeedKind.ODD: "was made, and is unusual: look at the picture",
    NeedKind.REMOVED: "is left of a slide whose file is gone",
    NeedKind.MISSING: "was not made yet",
}
ORDER = tuple(NeedKind)
OF_STATES = {State.FAILED: NeedKind.FAILED, State.STALE: NeedKind.STALE, State.MISSING: NeedKind.MISSING}
PATHS, NUMBERS = re.compile(r"\S*[/\\]\S*"), re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, slots=True)
class Need:
    """Slides with one thing wrong with them, and what mends it."""

    kind: NeedKind
    reason: str
    """Of the first slide, as it was told."""
    stems: tuple[str, ...]
    """Sorted; of runs that are stuck, their ids."""
    cure: str
    """A command, or what to do in words."""
    outputs: tuple[str, ...] = ()
    """Outputs that it concerns, upstream first; none where it is the slide as a whole."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong with one slide."""

    kind: NeedKind
    stem: str
    reason: str
    output: str = ""


def find_needs(
    outputs: Iterable[Validity],
    warnings: Mapping[str, Iterable[str]],
    cures: Mapping[NeedKind, str],
    *,
    busy: Collection[str] = (),
    gone: Collection[str] = (),
) -> tuple[Need, ...]:
    """Return what needs a person, the gravest first, many slides before few.

    Args:
        outputs: Of slides and cases, by slide, upstream first.
        warnings: Stem to what is odd about a slide.
        cures: What to do about each kind.
        busy: Stems that are worked on now: what they lack is on its way.
        gone: Stems whose files are gone; they are ``removed`` and nothing else.

    Returns:
        Groups of slides; reasons that differ in names, paths and numbers alone are one. What is failed, stale or
        missing for something upstream is told there.
    """
    groups: dict[tuple[NeedKind, str], list[Complaint]] = {}
    for complaint in (*_of_outputs(outputs, busy), *_of_warnings(warnings)):
        if complaint.stem not in gone:
            pattern = reason_pattern(complaint.reason, complaint.stem)
            groups.setdefault((complaint.kind, pattern), []).append(complaint)
    needs = (_need(kind, complaints, cures) for (kind, _), complaints in groups.items())
    return tuple(sorted([*needs, *_removed(gone, cures)], key=order_of))


def order_of(need: Need) -> tuple[int, int]:
    """Return what sorts needs: the gravest first, many slides before few."""
    return ORDER.index(need.kind), -len(need.stems)


def _of_outputs(outputs: Iterable[Validity], busy: Collection[str]) -> Iterator[Complaint]:
    """Yield what is wrong with outputs themselves; what waits for something upstream, or is on its way, is not told."""
    waiting = set(busy)
    for output in outputs:
        if output.state is State.FAILED:
            waiting.add(output.stem)
        elif output.stem in waiting or (output.state is State.STALE and is_of_upstream(output.why)):
            continue
        if output.state in OF_STATES:
            kind = OF_STATES[output.state]
            yield Complaint(kind, output.stem, output.why or MEANINGS[kind], str(output.step))


def _of_warnings(warnings: Mapping[str, Iterable[str]]) -> Iterator[Complaint]:
    for stem, texts in warnings.items():
        yield from (Complaint(NeedKind.ODD, stem, text) for text in texts)


def reason_pattern(reason: str, stem: str) -> str:
    """Return a reason without what is of one slide alone: its name, paths and numbers."""
    return NUMBERS.sub("#", PATHS.sub("…", reason.replace(stem, "…")))


def _need(kind: NeedKind, complaints: Iterable[Complaint], cures: Mapping[NeedKind, str]) -> Need:
    complaints = sorted(complaints, key=lambda complaint: complaint.stem)
    outputs = dict.fromkeys(complaint.output for complaint in complaints if complaint.output)
    stems = dict.fromkeys(complaint.stem for complaint in complaints)
    return Need(kind, complaints[0].reason, tuple(stems), cures.get(kind, ""), tuple(outputs))


def _removed(gone: Collection[str], cures: Mapping[NeedKind, str]) -> Iterator[Need]:
    if gone:
        reason = MEANINGS[NeedKind.REMOVED]
        yield Need(NeedKind.REMOVED, reason, tuple(sorted(gone)), cures.get(NeedKind.REMOVED, ""))
