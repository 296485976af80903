"""Patch encoders that run together: batches sent to their device, and features that come back."""

import logging
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.accelerator import Accelerator, accelerator_of
from atlaspatch_core.encoders.in_flight import InFlightBatch
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.model_cache import MODELS
from atlaspatch_core.encoders.stream_choice import StreamChoice

if TYPE_CHECKING:
    from torch import device

log = logging.getLogger(__name__)
Label = TypeVar("Label")


class PatchEncoders:
    """Encoders that see the same patches: a batch goes to their device once, and is preprocessed once per transform."""

    def __init__(
        self,
        encoders: Sequence[LoadedPatchEncoder],
        accelerator: Accelerator | None = None,
        *,
        own_streams: bool | None = None,
    ) -> None:
        """Take encoders of one device; ``accelerator`` is how to talk to it, left out: as is usual for it.

        ``own_streams``: whether networks are computed side by side; left out: where that was found to be quicker.
        """
        self.encoders = tuple(encoders)
        device = accelerator or accelerator_of(_common_device(self.encoders))
        self._choice = StreamChoice(self.encoders, device, own_streams=own_streams)
        self._pipeline = self._choice.pipeline()
        self._limit: int | None = None
        """Patches at a time that the device had memory for; None: whole batches."""

    def encode(self, patches: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return features (b, dim) by encoder, float32, from RGB patches (b, h, w, 3).

        Out of memory on the device lets idle networks go, then halves what is encoded at a time from there on. Raises
        what ``LoadedPatchEncoder.encode`` raises.
        """
        return self.submit(patches).features()

    def submit(self, patches: NDArray[np.uint8]) -> "Submission":
        """Send patches (b, h, w, 3) to the device; they must not change until their features are there.

        Waits where as many batches are under way as the device takes. Raises what ``encode`` raises, as far as it is
        known already.
        """
        if self._choice.is_due(len(patches)) and self._limit is None:
            self._pipeline.finish()
            self._pipeline = self._choice.tried(patches)
        flights: list[InFlightBatch] = []
        start = 0
        while start < len(patches):
            part = patches[start : start + (self._limit or len(patches))]
            if flight := self._launch(part):
                flights.append(flight)
                start += len(part)
        return Submission(self, tuple(flights))

    def encode_stream(
        self, batches: Iterable[tuple[Label, NDArray[np.uint8]]]
    ) -> Generator[tuple[Label, list[NDArray[np.float32]]]]:
        """Yield each label with the features of its patches, in order; later batches are on their way meanwhile.

        Raises what ``encode`` raises.
        """
        waiting: deque[tuple[Label, Submission]] = deque()
        for label, patches in batches:
            waiting.append((label, self.submit(patches)))
            while waiting and waiting[0][1].is_done():
                first, submission = waiting.popleft()
                yield first, submission.features()
        for label, submission in waiting:
            yield label, submission.features()

    def features_of(self, flight: InFlightBatch) -> list[NDArray[np.float32]]:
        """Return the features of patches under way, by encoder; where memory ran out, encode them anew, by fewer."""
        from torch import OutOfMemoryError

        try:
            return flight.features()
        except OutOfMemoryError as error:
            shortage = error
        self._make_room(len(flight.patches), shortage)
        return self.encode(flight.patches)

    def _launch(self, patches: NDArray[np.uint8]) -> InFlightBatch | None:
        """Return patches on their way; None where there was no memory for them, and now is for them or fewer."""
        from torch import OutOfMemoryError

        try:
            return self._pipeline.launch(patches)
        except OutOfMemoryError as error:
            shortage = error
        self._make_room(len(patches), shortage)
        return None

    def _make_room(self, count: int, shortage: Exception) -> None:
        """Let go of what fills the device, else halve the patches at a time. Raises the shortage where that is one."""
        from torch import cuda

        shortage = shortage.with_traceback(None)  # its frames hold what the network had computed
        self._pipeline.finish()
        if MODELS.release_idle():
            return
        if count == 1:
            raise shortage
        self._limit = min(self._limit or count, count // 2)
        log.warning("the device is out of memory with %d patches at a time; going on with %d", count, count // 2)
        cuda.empty_cache()


@dataclass(frozen=True, slots=True, eq=False)
class Submission:
    """Patches whose features are under way."""

    encoders: PatchEncoders
    flights: tuple[InFlightBatch, ...]

    def is_done(self) -> bool:
        """Tell whether ``features`` would not wait."""
        return all(flight.is_done() for flight in self.flights)

    def features(self) -> list[NDArray[np.float32]]:
        """Return features (b, dim), float32, by encoder; wait for them. Raises what ``PatchEncoders.encode`` raises."""
        for flight in self.flights:  # where one fails, nothing of the others is left under way
            flight.finish()
        empty = [np.empty((0, loaded.dim), np.float32) for loaded in self.encoders.encoders]
        parts = [self.encoders.features_of(flight) for flight in self.flights]
        return parts[0] if len(parts) == 1 else [np.concatenate(rows) for rows in zip(empty, *parts, strict=True)]


def _common_device(encoders: Sequence[LoadedPatchEncoder]) -> "device":
    """Return the device of all encoders. Raises ValueError where there are several."""
    devices = sorted({str(loaded.device) for loaded in encoders})
    if len(devices) != 1:
        raise ValueError(f"encoders that see the same patches are on one device, not on {', '.join(devices) or 'none'}")
    return encoders[0].device
