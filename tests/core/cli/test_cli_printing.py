"""What a run says: lines for people, bars on terminals only."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from atlaspatch_core.cli.display import Display
from atlaspatch_core.cli.printing import slide_line, step_line, summary, warning_line
from atlaspatch_core.tissue.quality import QualitySpec, judge_quality
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.warnings import without_patches

pytestmark = pytest.mark.quick

SLIDE, MASK, COORDS = OutputKey("slide"), OutputKey("tissue_mask"), OutputKey("patch_coords")
FEATURES, EMBEDDING = OutputKey("patch_features", "lite"), OutputKey("slide_embedding", "mean-lite")


def outcome(step: OutputKey, status: Status, why: str = "", **numbers: float) -> Outcome:
    return Outcome("a", step, status, "0123456789abcdef", why=why, numbers=numbers, seconds=1.5)


def reused() -> list[Outcome]:
    return [
        outcome(SLIDE, Status.REUSED),
        outcome(MASK, Status.REUSED, tissue_share=0.379),
        outcome(COORDS, Status.REUSED, patches=58),
        outcome(FEATURES, Status.REUSED, patches=58, dim=1280),
        outcome(EMBEDDING, Status.REUSED, dim=1280),
    ]


def test_steps_of_one_fate_and_reason_share_a_phrase():
    line = slide_line(reused()).plain
    assert line == "a: mask with 37.9 % tissue, 58 patches, lite features, mean-lite embedding reused"


def test_what_was_computed_says_why():
    outcomes = reused()[:2]
    outcomes += [outcome(COORDS, Status.COMPUTED, "grid.step_size none → 128", patches=1)]
    outcomes += [outcome(FEATURES, Status.COMPUTED, "patch_coords 11 → 22")]
    assert slide_line(outcomes).plain == (
        "a: mask with 37.9 % tissue reused · 1 patch computed (grid.step_size none → 128) · "
        "lite features computed (patch_coords 11 → 22)"
    )


def test_a_slide_that_changed_says_what_changed():
    assert slide_line([outcome(SLIDE, Status.COMPUTED, "mpp 0.5 → 0.25")]).plain == "a: slide computed (mpp 0.5 → 0.25)"
    assert slide_line([outcome(SLIDE, Status.COMPUTED, "missing")]).plain == "a: nothing to do"


def test_a_failure_is_one_line_with_its_reason_and_without_what_it_stopped():
    outcomes = [outcome(SLIDE, Status.FAILED, "a: cannot\n be read"), outcome(MASK, Status.SKIPPED, "slide failed")]
    assert slide_line(outcomes).plain == "a: slide FAILED: cannot be read"


def test_what_was_skipped_without_a_failure_says_why():
    outcomes = [outcome(COORDS, Status.REUSED, patches=0), outcome(EMBEDDING, Status.SKIPPED, "no patches")]
    assert slide_line(outcomes).plain == "a: 0 patches reused · mean-lite embedding skipped (no patches)"


def test_a_step_line_has_seconds_fingerprint_and_numbers():
    line = step_line(outcome(COORDS, Status.COMPUTED, "missing", patches=58)).plain
    assert line == "  a patch_coords computed  1.50 s  0123456789abcdef  patches=58  new"


def test_the_summary_counts_slides_by_fate():
    failed = [*reused(), outcome(FEATURES, Status.FAILED, "no")]
    computed = [*reused(), outcome(FEATURES, Status.COMPUTED)]
    text = summary({"a": reused(), "b": failed, "c": computed, "d": computed}, Path("out"))
    assert text == "4 slides: 2 computed, 1 reused, 1 failed; files in out"
    assert summary({}, Path("out")) == "0 slides: 0 computed, 0 reused, 0 failed; files in out"


def test_a_line_comes_as_soon_as_the_slide_is_finished(capsys: pytest.CaptureFixture[str]):
    with Display(slides=2, steps=5) as display:
        for done in reused():
            assert capsys.readouterr().out == ""
            display.add(done)
        assert capsys.readouterr().out.startswith("a: mask")
    assert capsys.readouterr().out == ""


def test_a_slide_that_failed_at_once_is_told_at_once_and_once(capsys: pytest.CaptureFixture[str]):
    with Display(slides=1, steps=2) as display:
        display.add(outcome(SLIDE, Status.FAILED, "unreadable"))
        assert capsys.readouterr().out == "a: slide FAILED: unreadable\n"
        display.add(outcome(MASK, Status.SKIPPED, "slide failed"))
    assert capsys.readouterr().out == ""


def test_long_lines_are_not_folded_and_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]):
    why = "[bold] " + "x" * 300
    with Display(slides=1, steps=1) as display:
        display.add(outcome(COORDS, Status.COMPUTED, why, patches=2))
    assert capsys.readouterr().out == f"a: 2 patches computed ({why})\n"


def test_without_a_terminal_there_are_no_control_characters_and_few_lines(capsys: pytest.CaptureFixture[str]):
    times = iter([0.0, 1.0, 31.0, 31.0, 40.0])
    with Display(slides=1, steps=5, clock=lambda: next(times)) as display:
        display.patches("a", 32, 96)
        display.patches("a", 64, 96)
        display.patches("a", 96, 96)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "a: 64 of 96 patches encoded\n")


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_shows_slides_and_patches(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with Display(slides=1, steps=5) as display:
        display.patches("a", 32, 96)
        display.patches("a", 64, 96)
        for done in reused():
            display.add(done)
    text = terminal.getvalue()
    assert "patches of a" in text
    assert "64/96" in text
    assert "1/1" in text


def judged(status: Status = Status.REUSED, **numbers: float) -> Outcome:
    return replace(outcome(MASK, status, **numbers), findings=judge_quality(numbers, QualitySpec()))


def test_what_is_odd_about_a_slide_is_one_more_line_and_what_is_usual_is_none():
    odd = warning_line([outcome(SLIDE, Status.REUSED), judged(fragments=300, pen_share=0.2)])
    assert odd is not None
    assert (
        odd.plain == "a: WARNING: 300 pieces of tissue, more than 200; 20.0% of the slide is under ink, more than 5.0%"
    )
    assert warning_line([judged(fragments=3)]) is None
    assert warning_line([judged(Status.FAILED, fragments=0)]) is None


@pytest.mark.parametrize(("geometry", "of"), [("", ""), ("20x", " of 20x")])
def test_tissue_without_patches_is_warned_of_and_glass_is_told_once(geometry, of):
    """Tissue that gives no patch is warned of and glass without patches is told once."""
    step = OutputKey("patch_coords", None, geometry)
    none = replace(outcome(step, Status.REUSED, patches=0), notes=(without_patches(geometry),))
    odd = warning_line([outcome(MASK, Status.REUSED, tissue_share=0.4), none])
    assert odd is not None
    assert odd.plain == f"a: WARNING: no patch{of} is kept; take smaller patches, or a lower least tissue share"
    glass = warning_line([judged(fragments=0, tissue_share=0), outcome(step, Status.REUSED, patches=0)])
    assert glass is not None
    assert glass.plain == "a: WARNING: no tissue was found"


def test_every_finding_is_told_in_detail():
    line = step_line(judged(fragments=300, pen_share=0.0)).plain
    assert "WARNING 300 pieces of tissue, more than 200" in line
    assert "pen share 0 (≤ 0.05)" in line
