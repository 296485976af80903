"""What a run tells a person: a line per slide, a bar on long work, a summary."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from rich.text import Text

from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.wording import format_count

STYLES: Mapping[Status, str] = {
    Status.COMPUTED: "green",
    Status.REUSED: "dim",
    Status.RESTAMPED: "cyan",
    Status.FAILED: "bold red",
    Status.SKIPPED: "yellow",
}
NOT_THERE = "missing"
FIRST_TIME = (NOT_THERE, "forced")
"""Reasons that need no words when a slide is merely looked at."""


def slide_line(outcomes: Sequence[Outcome], slide_by_reason: Mapping[str, str] = MappingProxyType({})) -> Text:
    """Return what was done for one slide, on one line.

    ``CMU-1: mask with 38 % tissue reused · 58 patches computed (grid.step_size none → 128) · …``
    Neighbouring steps of one fate and one reason share a phrase. What a failure stopped is not listed again, and why
    a step failed is said once, of the slide that ``slide_by_reason`` has for it.
    """
    failed = any(outcome.status is Status.FAILED for outcome in outcomes)
    changes = [
        outcome for outcome in outcomes if is_worth_words(outcome) and not (failed and outcome.status is Status.SKIPPED)
    ]
    phrases = [
        phrase(list(same), slide_by_reason)
        for _, same in groupby(changes, key=lambda outcome: (outcome.status, reason(outcome)))
    ]
    done = Text(" · ").join(phrases or [Text("nothing to do", "dim")])
    return Text.assemble((f"{outcomes[0].stem}: ", "bold"), done)


def warning_line(outcomes: Sequence[Outcome]) -> Text | None:
    """Return what is odd about a slide that was worked on, on one line; None where nothing is."""
    texts = [text for outcome in outcomes for text in outcome.warnings]
    return Text(f"{outcomes[0].stem}: WARNING: {'; '.join(texts)}", "yellow") if texts else None


def is_worth_words(outcome: Outcome) -> bool:
    """Say whether a step deserves words; looking at a slide does when something about the slide changed."""
    usual = outcome.status is Status.REUSED or outcome.why in FIRST_TIME
    return outcome.step.kind != "slide" or not usual


def phrase(outcomes: Sequence[Outcome], slide_by_reason: Mapping[str, str] = MappingProxyType({})) -> Text:
    """Return the words for steps of one fate and one reason."""
    names, why = ", ".join(map(output_name, outcomes)), reason(outcomes[0])
    why = f"as with {slide_by_reason[why]}" if slide_by_reason.get(why, outcomes[0].stem) != outcomes[0].stem else why
    fate = outcomes[0].status
    text = f"{names} FAILED: {why}" if fate is Status.FAILED else f"{names} {fate}" + (f" ({why})" if why else "")
    return Text(text, style=STYLES[fate])


def output_name(outcome: Outcome) -> str:
    """Return what a step makes, in words, with its most telling number."""
    patches, share = outcome.numbers.get("patches"), outcome.numbers.get("tissue_share")
    ignored = int(outcome.numbers.get("ignored_outlines", 0))
    less = f" less {format_count(ignored, 'Ignore* outline')}" if ignored else ""
    attention = " with attention" if "attention_heads" in outcome.numbers else ""
    names = {
        "tissue_mask": "mask" if share is None else f"mask with {share:.1%} tissue".replace("%", " %") + less,
        "patch_coords": "patches" if patches is None else f"{patches} patch{'' if patches == 1 else 'es'}",
        "patch_features": f"{outcome.step.encoder} features",
        "slide_embedding": f"{outcome.step.encoder} embedding{attention}",
    }
    return names.get(outcome.step.kind, outcome.step.kind)


def reason(outcome: Outcome) -> str:
    """Return why, on one line and without the stem that the line begins with; of what was not there yet, ``new``."""
    if outcome.status is Status.COMPUTED and outcome.why == NOT_THERE:
        return "new"
    return " ".join(outcome.why.removeprefix(f"{outcome.stem}: ").split())


def step_line(outcome: Outcome) -> Text:
    """Return everything about one step: fate, seconds, fingerprint, numbers, reason, file, findings."""
    numbers = " ".join(f"{name}={value:.6g}" for name, value in outcome.numbers.items())
    findings = ", ".join(f"{'' if finding.passed else 'WARNING '}{finding.text}" for finding in outcome.findings)
    notes = ", ".join(f"WARNING {note}" for note in outcome.notes)
    details = (numbers, reason(outcome), shown_path(outcome.path) if outcome.path else "", notes, findings)
    parts = (f"{outcome.seconds:.2f} s", outcome.fingerprint or "", *details)
    head = Text(f"  {outcome.stem} {outcome.step} ") + Text(str(outcome.status), STYLES[outcome.status])
    return head + Text("".join(f"  {part}" for part in parts if part))


def fate_of(outcomes: Sequence[Outcome]) -> Status:
    """Return the fate of a slide: failed if any step did, computed if anything was, or else reused."""
    fates = {outcome.status for outcome in outcomes}
    return next((fate for fate in (Status.FAILED, Status.COMPUTED) if fate in fates), Status.REUSED)


def summary(slides: Mapping[str, Sequence[Outcome]], output: Path) -> str:
    """Return the last line of a run."""
    fates = [fate_of(outcomes) for outcomes in slides.values()]
    counts = ", ".join(f"{fates.count(fate)} {fate}" for fate in (Status.COMPUTED, Status.REUSED, Status.FAILED))
    warned = slides_with_warnings(slides.values())
    odd = f", {format_count(warned, 'slide')} with warnings" if warned else ""
    return f"{format_count(len(fates), 'slide')}: {counts}{odd}; files in {output}"


def slides_with_warnings(slides: Iterable[Sequence[Outcome]]) -> int:
    """Return how many slides have something odd about them."""
    return sum(any(outcome.warnings for outcome in outcomes) for outcomes in slides)
