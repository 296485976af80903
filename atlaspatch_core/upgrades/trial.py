"""A changed encoder: tried on some patches, and where it gives the same numbers, stored results get its identity."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity, canonical_json
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.canary import canary_spec, run_canary
from atlaspatch_core.upgrades.comparison import Canary
from atlaspatch_core.validity.expected import Expectations
from atlaspatch_core.validity.identities import identity_of
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe
from atlaspatch_core.validity.rules import maker_changed_alone, stale_reason
from atlaspatch_core.validity.states import State, Validity


@dataclass(frozen=True, slots=True)
class Trial:
    """Features of one former encoder that a canary can speak for."""

    stage: OutputSpec
    former: tuple[int, str]
    """Version and spec, canonical JSON, by which they were made."""
    stems: tuple[str, ...]
    """Slides whose features differ from what is asked for in the encoder alone."""
    why: str
    """What changed."""


def trials(recipe: Recipe, states: Iterable[Validity]) -> list[Trial]:
    """Return what a canary can decide among stale features: those whose coords are fresh and whose encoder changed.

    The identity of every stale result is read from its file.

    Args:
        recipe: What is asked for now.
        states: Of outputs, as ``validities`` yields them.

    Returns:
        One trial for every former encoder, with the slides whose features it made.

    Example:
        ``changed`` asks for features in half precision, which the output has in float32.

        >>> outputs = validities(changed, ["CMU-1-Small-Region"], stored_in_files(changed))
        >>> [trial.stage.step.encoder for trial in trials(changed, outputs)]
        ['efficientnet_lite0']
    """
    stale: defaultdict[OutputKey, list[str]] = defaultdict(list)
    for validity in states:
        if validity.state is State.STALE and validity.step.kind == "patch_features":
            stale[validity.step].append(validity.stem)
    return [trial for step, stems in stale.items() for trial in _of_stage(recipe, recipe.stage(step), stems)]


def _of_stage(recipe: Recipe, stage: OutputSpec, stems: Sequence[str]) -> Iterator[Trial]:
    store = Store(recipe.project.output)
    groups: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    whys: dict[tuple[int, str], str] = {}
    coords = Expectations(recipe, store, steps=stage.upstream)
    for stem in stems:
        identity, expected = _identities(store, stem, stage, coords)
        if identity and expected and _may_be_tried(identity, expected):
            former = former_of(identity)
            groups[former].append(stem)
            whys.setdefault(former, stale_reason(identity, expected))
    yield from (Trial(stage, former, tuple(group), whys[former]) for former, group in groups.items())


def _identities(
    store: Store, stem: str, stage: OutputSpec, coords: Expectations
) -> tuple[Identity | None, Identity | None]:
    """Return what decided the stored features, and what is to decide them given the stored coords."""
    try:
        results = store.stored_results(stem, stage.step.geometry)
        stored = results.get(stage.dataset)
        fingerprint = results[COORDS].fingerprint if results else None
        if stored is None or fingerprint is None:
            return None, None
        return stored.identity, identity_of(stage, {stage.upstream[0]: fingerprint}, spec=coords.spec(stage))
    except AtlasPatchError:
        return None, None


def _may_be_tried(identity: Identity, expected: Identity) -> bool:
    """Say whether the encoder alone differs; of unverified results nobody knows that one encoder made them all."""
    return maker_changed_alone(identity, expected)


def former_of(identity: Identity) -> tuple[int, str]:
    """Return by what an identity names its maker: version and spec, canonical JSON."""
    return identity.version, canonical_json(identity.spec)


def try_upgrade(recipe: Recipe, trial: Trial, sources: Mapping[str, SlideSource]) -> Canary:
    """Encode some stored patches by the changed encoder, and hold the features against those that are stored.

    Nothing is written. How many slides and patches: ``[upgrades]`` of the project, 10 × 50 by default.

    Args:
        recipe: What is asked for now.
        trial: One of ``trials``.
        sources: The slides, by stem; those that are missing or cannot be read are passed over.

    Returns:
        Cosines (-1 to 1), ratios of lengths, shares of neighbours that stay (0 to 1), and whether that is the same.

    Raises:
        NoPatches: None of the slides can be read.
        MissingWeights, WrongWeights, MissingExtra: The encoder cannot be loaded.

    Example:
        >>> outputs = validities(changed, ["CMU-1-Small-Region"], stored_in_files(changed))
        >>> [trial] = trials(changed, outputs)
        >>> canary = try_upgrade(changed, trial, {source.stem: source for source in sources})
        >>> canary.same, canary.patches
        (True, 50)
    """
    slides = [sources[stem] for stem in trial.stems if stem in sources]
    return run_canary(recipe, trial.stage, slides, canary_spec(recipe.project))
