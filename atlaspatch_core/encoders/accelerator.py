"""How the program talks to a device that copies and computes beside it.

The program ("host") queues work on streams. A stream does what was queued on it in that order; two streams know nothing
of each other, but for the events that one waits for. Nothing of this waits on the host, but ``wait``.
"""

from collections.abc import Callable, MutableMapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor, device, dtype


class Accelerator(Protocol):
    """A device, as batches on their way through it see it. Streams and events are the device's own, and opaque."""

    slots: int
    """Batches that may be under way at a time."""
    uses: MutableMapping[Any, Any]
    """Network to the event of the last batch that it was given here."""

    def memory(self, shape: tuple[int, ...], kind: "dtype") -> "Tensor":
        """Return memory of the host that the device copies from and to by itself; its contents are undefined."""
        ...

    def stream(self, name: str) -> Any:
        """Return the stream of this name, the same one each time; what was loaded before the call is there for it."""
        ...

    def launch(
        self, stream: Any, work: Callable[[], None], after: Sequence[Any] = (), behind: Sequence[Any] = ()
    ) -> Any:
        """Queue work, which begins after these events; return the event that it is done.

        It needs what the work of ``after`` made; that of ``behind`` may have failed.

        Raises what the work raises, at once or when its event is waited for. Tensors that work of another stream reads
        must be held until that is done.
        """
        ...

    def upload(self, host: "Tensor") -> "Tensor":
        """Return a copy on the device; to be called in work."""
        ...

    def download(self, values: "Tensor", host: "Tensor") -> None:
        """Copy to memory of the host; to be called in work."""
        ...

    def is_done(self, event: Any) -> bool:
        """Tell whether an event has happened, or failed."""
        ...

    def wait(self, event: Any) -> None:
        """Let the host wait for an event. Raises what its work raised."""
        ...


class ImmediateDevice:
    """Does everything at once: a CPU, and devices whose streams torch does not show (MPS)."""

    slots = 1

    def __init__(self, device: "device") -> None:
        self._device = device
        self.uses: MutableMapping[Any, Any] = WeakKeyDictionary()

    def memory(self, shape: tuple[int, ...], kind: "dtype") -> "Tensor":
        """Return usual memory."""
        import torch

        return torch.empty(shape, dtype=kind)

    def stream(self, name: str) -> None:
        """Return None: there is one order of work."""

    def launch(
        self,
        stream: None,  # noqa: ARG002 - there is one order of work
        work: Callable[[], None],
        after: Sequence[None] = (),  # noqa: ARG002
        behind: Sequence[None] = (),  # noqa: ARG002
    ) -> None:
        """Do the work. Raises what it raises."""
        work()

    def upload(self, host: "Tensor") -> "Tensor":
        """Return a copy, on a CPU too: code of users may keep it, while the host writes the next batch."""
        return host.to(self._device, copy=True)

    def download(self, values: "Tensor", host: "Tensor") -> None:
        """Copy, and wait for it."""
        host.copy_(values)

    def is_done(self, event: None) -> bool:  # noqa: ARG002
        """Tell that it is done: it was when it was launched."""
        return True

    def wait(self, event: None) -> None:
        """Wait for nothing."""


class CudaDevice:
    """Streams and events of CUDA, and page-locked ("pinned") memory, which alone is copied while the host goes on."""

    slots = 3
    """One batch goes up, one is computed, one comes down."""

    def __init__(self, device: "device") -> None:
        self._device = device
        self.uses: MutableMapping[Any, Any] = WeakKeyDictionary()
        self._streams: dict[str, Any] = {}

    def memory(self, shape: tuple[int, ...], kind: "dtype") -> "Tensor":
        """Return pinned memory; pinning costs a call of the driver, so each piece is made once."""
        import torch

        return torch.empty(shape, dtype=kind, pin_memory=True)

    def stream(self, name: str) -> Any:
        """Return a stream, which goes on after what the present one was given: weights are loaded there."""
        from torch import cuda

        if name not in self._streams:
            self._streams[name] = cuda.Stream(self._device)
        stream = self._streams[name]
        stream.wait_stream(cuda.current_stream(self._device))
        return stream

    def launch(
        self, stream: Any, work: Callable[[], None], after: Sequence[Any] = (), behind: Sequence[Any] = ()
    ) -> Any:
        """Queue the kernels and copies of the work. Raises what queueing raises, such as OutOfMemoryError."""
        from torch import cuda

        with cuda.stream(stream):
            for event in (*after, *behind):
                stream.wait_event(event)
            work()
            done = cuda.Event(blocking=True)  # whoever waits for it sleeps, and leaves the core to the readers
            done.record(stream)
        return done

    def upload(self, host: "Tensor") -> "Tensor":
        """Queue a copy from pinned memory."""
        return host.to(self._device, non_blocking=True)

    def download(self, values: "Tensor", host: "Tensor") -> None:
        """Queue a copy to pinned memory."""
        host.copy_(values, non_blocking=True)

    def is_done(self, event: Any) -> bool:
        """Ask the driver."""
        return event.query()

    def wait(self, event: Any) -> None:
        """Sleep until it has happened."""
        event.synchronize()


@cache
def accelerator_of(device: "device") -> Accelerator:
    """Return how to talk to a device of torch, the same each time: one stream of each name, and one book of uses."""
    return CudaDevice(device) if device.type == "cuda" else ImmediateDevice(device)
