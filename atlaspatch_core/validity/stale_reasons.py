"""Why outputs are stale: a stored identity that was read explains all outputs that were made in the same way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.storage.schema import FOUND_DAMAGED
from atlaspatch_core.storage.slide_index import IndexedSlide
from atlaspatch_core.validity.expected import Expectations
from atlaspatch_core.validity.identities import identity_of
from atlaspatch_core.validity.identity_template import IdentityTemplate
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import EMPTY, OutputSpec
from atlaspatch_core.validity.rules import DAMAGED_ON_DISK, is_valid, stale_reason
from atlaspatch_core.validity.slide_identities import key_of
from atlaspatch_core.validity.stored import stored_identity

MOST_KNOWN = 20
"""Identities of one step that are compared with each output."""
NOT_RECORDED = "the result that lies there was never recorded"

Inputs = Mapping[OutputKey, str]
"""Step upstream to its fingerprint."""


@dataclass(frozen=True, slots=True)
class StaleOutput:
    """An output that is not the one that is expected."""

    stem: str
    slide: IndexedSlide
    stage: OutputSpec
    fingerprint: str
    """As stored."""
    inputs: Inputs
    """As expected."""
    stored_inputs: Sequence[Inputs] = ()
    """Of what it may have been made, besides."""


@dataclass(frozen=True, slots=True)
class Making:
    """How an output may have been made: as that of another slide was, of inputs of its own."""

    identity: Identity
    """Of the other slide's."""
    key: tuple[Any, ...]
    """Tells it from other makings."""
    facts: Mapping[str, Any] | None
    """Of the own slide, in place of those of the other; None: they are the same."""

    def identity_of(self, stage: OutputSpec, inputs: Inputs) -> Identity:
        """Return the identity that an output made so has."""
        spec = {**self.identity.spec, **(self.facts or EMPTY)}
        return replace(identity_of(stage, inputs, EMPTY, spec), version=self.identity.version)


@dataclass(slots=True)
class StaleReasons:
    """Says what differs between stored outputs and expected ones, and reads few files for it."""

    expectations: Expectations
    most_read: int | None
    """Files that are read for outputs of one step; None: as many as there are ways in which they were made."""
    _read_identities: dict[OutputKey, list[tuple[Identity, Any]]] = field(default_factory=dict)
    """Step to identities, with what tells the facts of their slides from those of others."""
    _read_counts: dict[OutputKey, int] = field(default_factory=dict)
    _templates: dict[Any, IdentityTemplate] = field(default_factory=dict)
    _reasons: dict[Any, str] = field(default_factory=dict)

    def reason(self, output: StaleOutput) -> str:
        """Return what differs, or an empty text where that is not found out."""
        if output.fingerprint == FOUND_DAMAGED:
            return DAMAGED_ON_DISK
        step = output.stage.step
        if step not in self._read_identities:
            self._remember_identity(output, self._expected(output))  # of other inputs, and otherwise as it is to be
        for making in self._makings(output):
            for inputs in (output.inputs, *output.stored_inputs):
                if is_valid(output.fingerprint, self._fingerprint(output, making, inputs)):
                    return self._reason_of(output, making, inputs)
        if self.most_read is not None and self._read_counts.get(step, 0) >= self.most_read:
            return ""
        self._read_counts[step] = self._read_counts.get(step, 0) + 1
        return self._read_reason(output)

    def _remember_identity(self, output: StaleOutput, identity: Identity) -> None:
        identities = self._read_identities.setdefault(output.stage.step, [])
        if len(identities) < MOST_KNOWN:
            identities.append((identity, key_of(output.slide, output.stage)))

    def _makings(self, output: StaleOutput) -> Iterator[Making]:
        """Yield how an output may have been made, the likeliest first."""
        own, facts = key_of(output.slide, output.stage), None
        for identity, key in self._read_identities[output.stage.step]:
            if key == own:
                yield Making(identity, (identity.fingerprint, True, *own), None)
            if facts is None:
                facts = self._facts(output)
            yield Making(identity, (identity.fingerprint, False, *own), facts)

    def _fingerprint(self, output: StaleOutput, making: Making, inputs: Inputs) -> str:
        steps, geometry = output.stage.upstream, output.stage.geometry
        if making.facts and geometry and (geometry.coords or geometry.rule != "lattice"):  # facts of this slide alone
            return making.identity_of(output.stage, inputs).fingerprint
        if making.key not in self._templates:
            self._templates[making.key] = IdentityTemplate.from_identity(
                lambda marks: making.identity_of(output.stage, dict(zip(steps, marks, strict=True))), len(steps)
            )
        return self._templates[making.key].fingerprint(*(inputs[step] for step in steps))

    def _reason_of(self, output: StaleOutput, making: Making, inputs: Inputs) -> str:
        changed = tuple(step for step in output.stage.upstream if inputs[step] != output.inputs[step])
        if (*making.key, changed) not in self._reasons:
            stored = making.identity_of(output.stage, inputs)
            self._reasons[*making.key, changed] = stale_reason(stored, self._expected(output))
        return self._reasons[*making.key, changed]

    def _expected(self, output: StaleOutput) -> Identity:
        return identity_of(output.stage, output.inputs, self._facts(output), self.expectations.spec(output.stage))

    def _facts(self, output: StaleOutput) -> dict[str, Any]:
        """Return what of the slide decides an output beside its inputs."""
        identities = self.expectations.identities
        drawing = identities.facts_of_drawing(output.stem, output.slide, output.stage, output.inputs)
        return {**identities.facts_of_slide(output.stem, output.slide, output.stage), **drawing}

    def _read_reason(self, output: StaleOutput) -> str:
        """Return what differs as the file says."""
        identity, expected = stored_identity(self.expectations.store, output.stem, output.stage), self._expected(output)
        if identity is None:
            return ""
        if not is_valid(identity.fingerprint, output.fingerprint):
            return NOT_RECORDED if is_valid(identity.fingerprint, expected.fingerprint) else ""
        self._remember_identity(output, identity)
        return stale_reason(identity, expected)
