"""The networks of one run: each is loaded when it is first needed, once, and fails once."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread, main_thread
from typing import Any

from atlaspatch_core.config.sections import Runtime
from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.model_cache import MODELS, ModelKey
from atlaspatch_core.encoders.quick_imports import without_collections
from atlaspatch_core.encoders.weights import are_at_hand
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import canonical_json
from atlaspatch_core.tissue.segmenters import Networks
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Models:
    """Encoders by step; a failure to load is remembered, so that a thousand slides do not try a thousand times."""

    runtime: Runtime
    _loaded: dict[OutputKey, Any] = field(default_factory=dict)
    _failed: dict[OutputKey, AtlasPatchError] = field(default_factory=dict)
    _networks: Networks | None = None
    _ahead: Thread | None = None

    def networks(self, weights: Mapping[str, Path]) -> Networks:
        """Return the segmentation networks of this run; none is loaded yet. ``weights`` are the project's."""
        if self._networks is None:
            self._networks = Networks(weights, self.runtime.device, self.runtime.segmentation_batch_size)
        return self._networks

    def __contains__(self, step: OutputKey) -> bool:
        return step in self._loaded

    def get(self, stage: OutputSpec) -> Any:
        """Return the loaded encoder of a stage. Raises what loading raised."""
        if stage.step in self._failed:
            raise self._failed[stage.step]
        if stage.step not in self._loaded:
            try:
                with without_collections():
                    self._loaded[stage.step] = self._load(stage)
            except AtlasPatchError as error:
                self._failed[stage.step] = error
                raise
        return self._loaded[stage.step]

    def load_ahead(self, stages: Iterable[OutputSpec]) -> None:
        """Begin to load encoders in a thread, the first time this is called; ``get`` waits for it where it must.

        Weights that have to be fetched are left to ``get``: that takes long, and nobody may come to need them.
        """
        if self._ahead is None:
            self._ahead = Thread(target=self._load_all, args=(tuple(stages),), name="load")
            self._ahead.start()

    def _load_all(self, stages: tuple[OutputSpec, ...]) -> None:
        for stage in stages:
            try:
                if main_thread().is_alive() and stage.encoder and are_at_hand(stage.encoder.source, stage.encoder.name):
                    with without_collections():
                        self._load(stage)
            except Exception as error:  # of whatever kind: who needs the encoder tries again, and tells it
                log.debug("%s was not loaded ahead: %s", stage.step, error)

    def _load(self, stage: OutputSpec) -> Any:
        from atlaspatch_core.encoders.devices import resolve_device
        from atlaspatch_core.encoders.inference import set_threads
        from atlaspatch_core.encoders.loading import load_patch_encoder, load_slide_encoder

        encoder, device = stage.encoder, self.runtime.device
        assert encoder is not None
        set_threads(self.runtime.compute_threads)
        spec = canonical_json(encoder.spec())
        if isinstance(encoder, SlideEncoder):
            key = ModelKey(spec, device)
            return MODELS.get(key, resolve_device(device), lambda: load_slide_encoder(encoder, device=device))
        device = self.runtime.feature_device or device
        precision = stage.geometry.precision_of(encoder.precision) if stage.geometry else encoder.precision
        return MODELS.get(
            ModelKey(spec, device, precision, self.runtime.compile),
            resolve_device(device),
            lambda: load_patch_encoder(encoder, device=device, precision=precision, compile=self.runtime.compile),
        )
