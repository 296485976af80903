"""What needs a person: slides grouped by reason, and nothing told twice."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlaspatch_core.config.project import make_project
from atlaspatch_core.operations.report.needs import ORDER, NeedKind, find_needs
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State, Validity

pytestmark = pytest.mark.quick
GEOMETRY = {"patch_size": 256, "target_mag": 20, "patch_encoders": ["efficientnet_lite0"]}
RECIPE = make_recipe(make_project({"geometry": [GEOMETRY]}, origin="test"))
STEPS = [stage.step for stage in RECIPE.stages]
TELLING = (State.FAILED, State.STALE)
STEMS = st.sampled_from([f"slide_{letter}" for letter in string.ascii_lowercase[:6]])
REASONS = st.sampled_from(
    ["{stem}: /data/{stem}.svs has 3 levels", "{stem}: weights are missing", "step version 1 → 2"]
)


def outputs_of(states: dict[str, list[State]], reasons: dict[str, str]) -> list[Validity]:
    """Return the outputs of slides; what needs no reason has none."""
    return [
        Validity(stem, step, state, reasons.get(stem, "{stem}: x").format(stem=stem) if state in TELLING else "")
        for stem, of_slide in states.items()
        for step, state in zip(STEPS, of_slide, strict=True)
    ]


@given(
    st.dictionaries(STEMS, st.lists(st.sampled_from(State), min_size=len(STEPS), max_size=len(STEPS))),
    st.dictionaries(STEMS, REASONS),
    st.dictionaries(STEMS, st.tuples(st.just("{stem}: 12 % smooth"))),
    st.sets(STEMS),
    st.sets(STEMS),
)
def test_every_slide_that_is_not_well_is_told_of_once_a_reason(states, reasons, warnings, busy, gone):
    needs = find_needs(outputs_of(states, reasons), warnings, {}, busy=busy, gone=gone)

    told = {kind: {stem for need in needs if need.kind is kind for stem in need.stems} for kind in NeedKind}
    failed = {stem for stem, of_slide in states.items() if State.FAILED in of_slide} - gone
    missing = {stem for stem, of_slide in states.items() if State.MISSING in of_slide} - gone
    assert told[NeedKind.FAILED] == failed
    assert told[NeedKind.REMOVED] == gone
    assert missing - busy - failed <= told[NeedKind.MISSING] <= missing - busy
    assert told[NeedKind.ODD] == warnings.keys() - gone
    assert [need.kind for need in needs] == sorted((need.kind for need in needs), key=ORDER.index)
    assert len({(need.kind, need.reason) for need in needs}) == len(needs)


def test_reasons_that_differ_in_names_paths_and_numbers_are_one():
    failed = [State.FAILED, *[State.MISSING] * (len(STEPS) - 1)]
    reasons = {"slide_a": "{stem}: /one/{stem}.svs has 3 levels", "slide_b": "{stem}: /two/{stem}.svs has 14 levels"}

    (need,) = find_needs(outputs_of(dict.fromkeys(reasons, failed), reasons), {}, {NeedKind.FAILED: "mend it"})

    assert need.stems == ("slide_a", "slide_b")
    assert (need.reason, need.cure, need.outputs) == ("slide_a: /one/slide_a.svs has 3 levels", "mend it", ("slide",))
