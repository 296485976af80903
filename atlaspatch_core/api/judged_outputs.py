"""Which outputs of a folder may be used: what is stored of each, judged."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from atlaspatch_core.api.result_states import MISSING, NO_TABLE, FolderStates, refusal_of
from atlaspatch_core.api.stored_outputs import Outputs, StoredOutput, choose_output
from atlaspatch_core.errors import NoSlides, NotFresh
from atlaspatch_core.interop.export.selection import Choice
from atlaspatch_core.interop.export.valid_results import Verdict
from atlaspatch_core.interop.export.values import SlideResults
from atlaspatch_core.storage.schema import UNVERIFIED
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OF_CASES, OutputKey


@dataclass(frozen=True)
class JudgedOutputs:
    """Outputs of slides and cases, and whether each may be used."""

    output: Path
    stored: Outputs
    verdicts: FolderStates

    def verdict(self, stem: str, step: OutputKey) -> Verdict:
        """Return whether an output of a slide, or of a case, may be used: its state, and why."""
        if step.kind == OF_CASES:
            unsaid = Verdict(UNVERIFIED, NO_TABLE) if stem in self.stored.get(step, {}) else MISSING
            return self.verdicts.case_verdicts.get((stem, step), unsaid)
        return self.verdicts.selection.verdicts.get(stem, {}).get(step, MISSING)

    @property
    def store(self) -> Store:
        """Where the files lie."""
        return self.verdicts.selection.store

    def step(self, kind: str, encoder: str | None = None, geometry: str | None = None) -> OutputKey:
        """Return the output of a kind that is meant. Raises UnknownName naming what there is."""
        return choose_output(self.stored, kind, encoder, geometry, self.output)

    def usable(self, stem: str, step: OutputKey, *, include_stale: bool = False) -> StoredOutput:
        """Return an output that may be used. Raises NotFresh naming why it may not: there may be no such slide."""
        if step.kind != OF_CASES and not (self._is_known(stem) or stem in self.stored.get(step, {})):
            raise NotFresh(f"{stem}: {self._unknown}")
        if why := self._refusal(stem, step, include_stale=include_stale):
            raise NotFresh(f"{stem}: {step} {why}; run atlaspatch again, or take what is stale with include_stale=True")
        return self.stored[step][stem]

    def usable_outputs(
        self, step: OutputKey, *, include_stale: bool = False
    ) -> tuple[dict[str, StoredOutput], dict[str, str]]:
        """Return an output of all slides, or cases, of which it may be used, and why it may not of the others."""
        of_cases = (stem for stem, of_case in self.verdicts.case_verdicts if of_case == step)
        of_slides = () if step.kind == OF_CASES else self.verdicts.selection.verdicts
        stems = sorted({*of_cases, *of_slides, *self.stored[step]})
        refusals = {stem: self._refusal(stem, step, include_stale=include_stale) for stem in stems}
        usable = {stem: self.stored[step][stem] for stem, why in refusals.items() if not why}
        return usable, {stem: f"{step} {why}" for stem, why in refusals.items() if why}

    def _refusal(self, stem: str, step: OutputKey, *, include_stale: bool) -> str:
        """Return in a clause why an output may not be used, empty where it may."""
        is_stored = stem in self.stored.get(step, {})
        return refusal_of(self.verdict(stem, step), is_stored=is_stored, include_stale=include_stale)

    def _is_known(self, stem: str) -> bool:
        return stem in self.verdicts.selection.verdicts

    @property
    def _unknown(self) -> str:
        return f"there is no such slide in {self.output}; .stems are those that there are, without suffixes"

    def slide_results(
        self, stem: str, steps: Collection[OutputKey] = (), *, include_stale: bool = False
    ) -> SlideResults:
        """Return what of a slide an export takes: its mask, and the coords and features of ``steps``."""
        choice = Choice(
            frozenset(str(step.encoder) for step in steps), frozenset(step.geometry for step in steps), include_stale
        )
        if not self._is_known(stem):
            raise NoSlides(f"{stem}: {self._unknown}")
        return replace(self.verdicts.selection, choice=choice).results(stem)

    def usable_results(self, stem: str, steps: Collection[OutputKey], *, include_stale: bool) -> SlideResults:
        """Return the same, of outputs that may be used. Raises NotFresh as ``usable`` does."""
        for step in steps:
            self.usable(stem, step, include_stale=include_stale)
        return self.slide_results(stem, steps, include_stale=include_stale)
