"""What is odd about a slide's tissue: findings on the numbers of its mask. They warn, and block only where asked to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.option import check_bounds, stated

BLURRED_BELOW = 0.15
"""Tissue of less sharpness is blurred. Sharp tissue has 0.23 to 2.5, blur of σ 1 µm leaves 0.02 to 0.3, of σ 2 µm 0.003
to 0.04: measured on CMU-1-Small-Region, with the measure of ``sharpness.py``."""


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One number of one slide, held against its bound."""

    name: str
    """One of ``FINDINGS``."""
    passed: bool
    value: float
    bound: float
    """What ``value`` may reach."""
    text: str
    """What the number says, in words, with value and bound; one clause."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one number is judged."""

    name: str
    """Name of the finding."""
    number: str
    """Number of the tissue mask."""
    bound: str
    """Field of ``QualitySpec``, or empty where ``fixed`` is the bound."""
    text: str
    """What is wrong; value, bound and numbers of the mask are filled in."""
    least: bool = False
    """Whether the bound is a lower one."""
    fixed: float = 0.0


MASK_CURE = (
    "and give a mask of this slide that is not inverted, turned, mirrored, shifted or of another scale (--mask-values, "
    "--masks-origin), or take it away"
)
"""What to do about tissue that a person supplied, and that lies on glass."""

RULES = (
    Rule("no_tissue", "fragments", "", "no tissue was found", least=True, fixed=1.0),
    Rule(
        "little_tissue",
        "tissue_share",
        "min_tissue_share",
        "{value:.2%} of the slide is tissue, less than {bound:.2%}",
        least=True,
    ),
    Rule(
        "much_tissue", "tissue_share", "max_tissue_share", "{value:.1%} of the slide is tissue, more than {bound:.1%}"
    ),
    Rule("many_fragments", "fragments", "max_fragments", "{value:.0f} pieces of tissue, more than {bound:.0f}"),
    Rule(
        "dark_background",
        "dark_share",
        "max_dark_share",
        "{value:.0%} of the slide is near black, more than {bound:.0%}: no segmenter here is made for fluorescence",
    ),
    Rule("pen_marks", "pen_share", "max_pen_share", "{value:.1%} of the slide is under ink, more than {bound:.1%}"),
    Rule("blurred", "blur_share", "max_blur_share", "{value:.0%} of the tissue is blurred, more than {bound:.0%}"),
    Rule(
        "absent_tiles",
        "absent_tiles",
        "",
        "tiles are missing inside tissue and shown as background ({value:.0f}, the first at ({absent_x}, {absent_y}) "
        "of level {absent_level}): copy the slide again",
    ),
    Rule(
        "small_pieces_only",
        "largest_dropped_um2",
        "",
        "pieces of up to {value:,.0f} µm² were dropped, because the least area is {least_um2:,.0f} µm² "
        "(--min-tissue-area, min_tissue_um2)",
    ),
    Rule(
        "dropped_pieces",
        "dropped_pieces",
        "",
        "{value:.0f} smaller pieces of tissue, {dropped_um2:,.0f} µm² in all, were dropped, because the least area is "
        "{least_um2:,.0f} µm² (--min-tissue-area, min_tissue_um2): look at x {dropped_x:,.0f}, y {dropped_y:,.0f}",
    ),
    Rule(
        "smooth_region",
        "smooth_share",
        "max_left_out_share",
        "{value:.1%} of the slide is darker than glass and was left out as a shadow or film, because it is smooth: "
        "look at x {smooth_x:,.0f}, y {smooth_y:,.0f} (mean optical density {smooth_density:.2f})",
    ),
    Rule(
        "inked_region",
        "inked_share",
        "max_left_out_share",
        "{value:.1%} of the slide is darker than glass and was left out, because it touches ink: look at "
        "x {inked_x:,.0f}, y {inked_y:,.0f} (mean optical density {inked_density:.2f})",
    ),
    Rule(
        "faint_region",
        "faint_share",
        "max_left_out_share",
        "{value:.1%} of the slide is a little darker than glass and uneven, such as fat, and was left out, because it "
        "is too faint: look at x {faint_x:,.0f}, y {faint_y:,.0f} (mean optical density {faint_density:.3f})",
    ),
    Rule(
        "black_region",
        "black_share",
        "max_left_out_share",
        "{value:.1%} of the slide is near black and was left out as ink: look at x {black_x:,.0f}, y {black_y:,.0f} "
        "(mean optical density {black_density:.2f})",
    ),
    Rule(
        "mask_on_glass",
        "mask_glass_share",
        "max_glass_share",
        "{value:.0%} of the supplied tissue is bare glass, more than {bound:.0%}, and {stain_outside_share:.0%} of "
        "what is stained lies outside of it: look at x {mask_glass_x:,.0f}, y {mask_glass_y:,.0f}, " + MASK_CURE,
    ),
    Rule(
        "mask_elsewhere",
        "mask_elsewhere_share",
        "max_glass_share",
        "the supplied tissue lies elsewhere than the slide's: {value:.0%} of it is bare glass, and "
        "{stain_outside_share:.0%} of what is stained lies outside of it; look at x {mask_glass_x:,.0f}, "
        "y {mask_glass_y:,.0f}, " + MASK_CURE,
    ),
    Rule("emptied_by_artifacts", "emptied_by_artifacts", "", "there was tissue, and all of it was taken for artefacts"),
)
"""What is looked at, in this order."""

WORDS_NEED = {rule.number for rule in RULES} | {
    name for rule in RULES for _, name, _, _ in Formatter().parse(rule.text) if name
}
"""Numbers of a mask that decide its findings and stand in their texts."""
FINDINGS = tuple(rule.name for rule in RULES)
"""Names of all findings; ``block`` may hold any of them."""


@dataclass(frozen=True, slots=True)
class QualitySpec:
    """The bounds of a cohort. They decide no result, and so are no part of any fingerprint."""

    min_tissue_share: float = stated(0.001, "Least share of the slide that is tissue.", ge=0, le=1)
    max_tissue_share: float = stated(0.95, "Most share of the slide that is tissue.", ge=0, le=1)
    max_fragments: int = stated(200, "Most pieces of tissue.", ge=1)
    max_dark_share: float = stated(
        0.3,
        "Most share of the slide that is grey and near black; fluorescence has more, a scanner's frame less.",
        ge=0,
        le=1,
    )
    max_pen_share: float = stated(0.05, "Most share of the slide under ink.", ge=0, le=1)
    max_blur_share: float = stated(
        0.5, "Most share of the tissue that is blurred, judged by up to 32 windows of 128 µm.", ge=0, le=1
    )
    max_left_out_share: float = stated(
        0.01,
        "Most share of the slide that may be tissue and was left out, because it is smooth, faint, near black or "
        "touches ink.",
        ge=0,
        le=1,
    )
    max_glass_share: float = stated(
        0.5,
        "Most share of supplied tissue (masks, outlines that a person drew, coords) that is bare glass.",
        ge=0,
        le=1,
    )
    block: tuple[str, ...] = stated(
        (),
        f"Findings that stop a slide instead of warning: {', '.join(FINDINGS)}.",
    )

    def __post_init__(self) -> None:
        """Raise InvalidProject for a bound that no slide can have, and for a finding that does not exist."""
        check_bounds(self, "quality")
        if unknown := [name for name in self.block if name not in FINDINGS]:
            raise InvalidProject(f"quality: block names {', '.join(unknown)}; there are {', '.join(FINDINGS)}")


def judge_quality(numbers: Mapping[str, float], spec: QualitySpec) -> tuple[QualityFinding, ...]:
    """Return a finding for each number that is known, passed or not, in the order of ``RULES``.

    ``numbers`` are those of a tissue mask. A slide without tissue has that finding, and none on its tissue; a dark one
    has none on ink, which is told by its colour on glass.
    """
    return tuple(_findings(numbers, spec))


def judged_numbers(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return those numbers of a mask that a rule judges, or that its words need."""
    return {name: value for name, value in numbers.items() if name in WORDS_NEED}


def failed(findings: Iterable[QualityFinding]) -> tuple[QualityFinding, ...]:
    """Return those that did not pass."""
    return tuple(finding for finding in findings if not finding.passed)


def warnings(findings: Iterable[QualityFinding]) -> str:
    """Return the texts of those that did not pass, in one line; empty when all did."""
    return "; ".join(finding.text for finding in failed(findings))


def _findings(numbers: Mapping[str, float], spec: QualitySpec) -> Iterator[QualityFinding]:
    meaningless = {"little_tissue", "blurred"} if numbers.get("fragments") == 0 else set()
    meaningless |= {"pen_marks"} if numbers.get("dark_share", 0.0) > spec.max_dark_share else set()
    for rule in RULES:
        if rule.number in numbers and rule.name not in meaningless:
            yield _finding(rule, numbers, _bound(rule, spec))


def _bound(rule: Rule, spec: Any) -> float:
    return float(getattr(spec, rule.bound)) if rule.bound else rule.fixed


def _finding(rule: Rule, numbers: Mapping[str, float], bound: float) -> QualityFinding:
    value = float(numbers[rule.number])
    passed = value >= bound if rule.least else value <= bound
    text = rule.text if not passed else f"{rule.number.replace('_', ' ')} {{value:.4g}} ({{sign}} {{bound:.4g}})"
    words = {**numbers, "value": value, "bound": bound, "sign": "≥" if rule.least else "≤"}
    return QualityFinding(rule.name, passed, value, bound, text.format_map(words))
