"""Batches that cross slides, on a device that does its work late and in any order: each slide gets its own features."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from exact_encoders import SMALLER, Digest, Faulty, Wary, bad, exact_encoder, patches
from hypothesis import given
from hypothesis import strategies as st
from recording_device import RecordingDevice
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.pipeline.batching import Batcher
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.pipeline.slide_work import RunContext, SlideWork
from atlaspatch_core.pipeline.steps.features import FeatureBatch, FeatureJob, PlannedFeatures
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

encoder = lru_cache(exact_encoder)
IDENTITY = Identity("patch_features", 1, {}, {})


@lru_cache
def context(folder: Path, batch_size: int) -> RunContext:
    geometry = {"patch_size": 6, "target_mag": 20, "patch_encoders": ["efficientnet_lite0"]}
    runtime = {"feature_batch_size": batch_size}
    project = make_project({"output": folder, "geometry": [geometry], "runtime": runtime}, origin="test")
    return RunContext(make_recipe(project), Store(folder), Models(project.runtime), frozenset(), False, lambda *_: None)


def job(run: RunContext, stem: str, models: Sequence[LoadedPatchEncoder], total: int) -> FeatureJob:
    """Return the features of a slide that are to be computed."""
    stage = next(stage for stage in run.recipe.stages if stage.geometry and stage.encoder)
    plans = tuple(PlannedFeatures(stage, IDENTITY, model, "", model.dim) for model in models)
    assert stage.geometry is not None
    return FeatureJob(SlideWork(SlideSource(stem, Path(stem)), run), stage.geometry, plans, total, 0.0)


SLIDES = st.lists(
    st.tuples(st.lists(st.integers(1, 7), max_size=5), st.booleans(), st.booleans()), min_size=1, max_size=6
)
"""Sizes of the batches of each slide as they are read, whether one of its patches is bad, and which encoders it has."""


def encoded(
    run: RunContext,
    slides: list[tuple[list[int], bool, bool]],
    kinds: Sequence[Sequence[LoadedPatchEncoder]],
    batcher: Batcher,
) -> list[FeatureJob]:
    """Return the jobs of slides once the batcher has had all their patches."""
    jobs = [job(run, f"s{number}", kinds[other], sum(sizes)) for number, (sizes, _, other) in enumerate(slides)]
    for number, (made, (sizes, fails, _)) in enumerate(zip(jobs, slides, strict=True)):
        rows = np.random.default_rng(number).permutation(made.total)
        starts = np.cumsum([0, *sizes])
        for part, (start, stop) in enumerate(pairwise(starts)):
            pixels = patches(stop - start, 100 * number + part)
            batcher.add(FeatureBatch(made, rows[start:stop], bad(pixels) if fails and part == 0 else pixels))
        batcher.end(made)
    batcher.flush()
    return jobs


def fates(jobs: list[FeatureJob]) -> list[object]:
    return [made.failed.why if made.failed else [values.tobytes() for values in made.results.values()] for made in jobs]


@examples(200)
@given(
    slides=SLIDES,
    batch_size=st.integers(1, 12),
    network=st.sampled_from([Digest, Wary, Faulty]),
    slots=st.integers(1, 4),
    haste=st.sampled_from([0.0, 0.3, 0.7]),
    seed=st.integers(0, 999),
)
def test_slides_have_the_features_and_the_failures_of_the_plain_path(
    tmp_path_factory, slides, batch_size, network, slots, haste, seed
):
    run = context(tmp_path_factory.getbasetemp(), batch_size)
    kinds = (encoder(network), encoder(Digest, 1, SMALLER)), (encoder(network), encoder(Digest, 2))
    device, done, plain_done = RecordingDevice(slots, Random(seed), haste), [], []
    late = Batcher(done.append, lambda models: PatchEncoders(models, device))
    jobs = encoded(run, slides, kinds, late)
    assert fates(jobs) == fates(encoded(run, slides, kinds, Batcher(plain_done.append)))
    assert sorted(made.work.stem for made in done) == [made.work.stem for made in jobs]
    assert all(made.done == (0 if made.failed else made.total) for made in jobs)
    assert [made.failed is not None for made in jobs] == [
        network is not Digest and fails and bool(sizes) for sizes, fails, _ in slides
    ]
    assert device.is_idle


def test_features_are_handed_out_when_they_are_there_and_not_waited_for(tmp_path):
    device, done, models = RecordingDevice(slots=3), [], (encoder(Digest),)
    batcher = Batcher(done.append, lambda models: PatchEncoders(models, device))
    first, second = (job(context(tmp_path, 4), stem, models, 4) for stem in "ab")
    batcher.add(FeatureBatch(first, np.arange(4), patches(4, 0)))
    batcher.end(first)
    assert (first.done, done, device.waits) == (0, [], [])
    device.do_all()
    batcher.add(FeatureBatch(second, np.arange(4), patches(4, 1)))
    assert (first.done, done, device.waits) == (4, [first], [])
    batcher.end(second)
    batcher.flush()
    assert done == [first, second]
