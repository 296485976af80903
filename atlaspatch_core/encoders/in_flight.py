"""Batches of patches on their way: up to the device, through the networks, and their features back.

While the networks compute one batch, the next goes up and the features of the last come down. The memory of the host
that they pass through is a ring of slots, made once. The host waits only where the ring is full.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.accelerator import Accelerator
from atlaspatch_core.encoders.declaration import Transform
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.slots import Slot

if TYPE_CHECKING:
    from torch import Tensor


class Streams(NamedTuple):
    """What may go on at a time."""

    up: Any
    """Copies of pixels to the device."""
    inputs: Any
    """Preprocessing."""
    compute: tuple[Any, ...]
    """Each network's; that of the preprocessing, unless they have their own."""
    down: Any
    """Copies of features to the host."""


@dataclass(slots=True, eq=False)
class Value:
    """A tensor on the device that is there once its event has happened."""

    event: Any = None
    tensor: "Tensor | None" = None


@dataclass(slots=True, eq=False)
class InFlightBatch:
    """One batch on its way."""

    patches: NDArray[np.uint8]
    """Shape (b, h, w, 3)."""
    encoders: Sequence[LoadedPatchEncoder]
    device: Accelerator
    slot: Slot | None
    """None once it has landed."""
    _values: list[Value] = field(default_factory=list)
    """Held until all is done, so that no memory that one stream reads is given to another."""
    _features: list[NDArray[np.float32]] = field(default_factory=list)
    _error: Exception | None = None

    def start(self, streams: Streams) -> None:
        """Queue the whole way. Raises what is found wrong already now; nothing is under way then."""
        try:
            self._queue(streams)
        except BaseException:  # whatever it is, what was queued must land before it goes on
            self._land(is_whole=False)
            raise

    def is_done(self) -> bool:
        """Tell whether ``features`` would not wait."""
        return self.slot is None or all(self.device.is_done(value.event) for value in self._values)

    def finish(self) -> None:
        """Wait until it has landed and free its slot; what went wrong is told by ``features``."""
        self._land(is_whole=True)

    def features(self) -> list[NDArray[np.float32]]:
        """Return features (b, dim), float32, by encoder; wait for them. Raises what the way raised, NotFinite."""
        self.finish()
        if self._error:
            raise self._error
        return self._features

    def _queue(self, streams: Streams) -> None:
        assert self.slot is not None
        filled = self.slot.fill(self.patches)
        pixels = self._launch(streams.up, lambda: self.device.upload(filled).permute(0, 3, 1, 2))
        inputs: dict[Transform | None, Value] = {}
        for number, loaded in enumerate(self.encoders):
            transform = loaded.encoder.transform
            if transform not in inputs:
                inputs[transform] = self._launch(streams.inputs, loaded.to_input, pixels)
            features = self._launch(streams.compute[number], loaded.features, inputs[transform], network=loaded)
            rows = self.slot.features[number][: len(self.patches)]
            self._launch(streams.down, partial(_download, self.device, rows), features)

    def _launch(
        self, stream: Any, make: "Callable[..., Tensor]", *sources: Value, network: LoadedPatchEncoder | None = None
    ) -> Value:
        """Queue what makes a value of others, once these are there, and the network is done with the batch before.

        A network may have memory of its own, as a CUDA graph has, and be given batches on several streams.
        """
        from torch import inference_mode

        value = Value()

        def work() -> None:
            with inference_mode():
                value.tensor = make(*(source.tensor for source in sources))

        before = [self.device.uses[network]] if network in self.device.uses else []
        value.event = self.device.launch(stream, work, [source.event for source in sources], before)
        if network is not None:
            self.device.uses[network] = value.event
        self._values.append(value)
        return value

    def _land(self, *, is_whole: bool) -> None:
        if self.slot is None:
            return
        for value in self._values:
            try:
                self.device.wait(value.event)
            except Exception as error:  # of any kind, told by ``features``: the others are under way still
                self._error = self._error or error
        if is_whole and not self._error:
            self._read(self.slot.features)
        self._values.clear()
        self.slot.flight = self.slot = None

    def _read(self, features: "list[Tensor]") -> None:
        try:
            for loaded, rows in zip(self.encoders, features, strict=True):
                self._features.append(loaded.checked(rows[: len(self.patches)].numpy().copy()))
        except Exception as error:  # told by ``features``: who waits for a slot is not to blame
            self._error = error


class BatchPipeline:
    """The ring of one device, and the encoders that batches pass through."""

    def __init__(
        self, encoders: Sequence[LoadedPatchEncoder], device: Accelerator, *, own_streams: bool = False
    ) -> None:
        """``own_streams``: networks are computed side by side, not one after the other."""
        self._encoders, self._device = encoders, device
        names = [f"compute {loaded.encoder.name}" if own_streams else "compute" for loaded in encoders]
        compute = tuple(device.stream(name) for name in names)
        self._streams = Streams(device.stream("up"), device.stream("compute"), compute, device.stream("down"))
        dims = tuple(loaded.dim for loaded in encoders)
        self._slots = [Slot(device, dims) for _ in range(device.slots)]
        self._next = 0

    def launch(self, patches: NDArray[np.uint8]) -> InFlightBatch:
        """Send patches (b, h, w, 3), at least one, on their way; where the ring is full, wait for the oldest first.

        Raises what networks raise as soon as they are launched.
        """
        slot = self._slots[self._next]
        if slot.flight is not None:
            slot.flight.finish()
        slot.flight = flight = InFlightBatch(patches, self._encoders, self._device, slot)
        flight.start(self._streams)
        self._next = (self._next + 1) % len(self._slots)
        return flight

    def finish(self) -> None:
        """Wait until nothing is under way, and let go of what it held on the device."""
        for slot in self._slots:
            if slot.flight is not None:
                slot.flight.finish()


def _download(device: Accelerator, rows: "Tensor", values: "Tensor") -> "Tensor":
    """Copy values to rows of the host, and return them, to be held."""
    device.download(values, rows)
    return values
