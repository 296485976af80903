"""A device on the CPU that does its work in any order that streams and events allow, and records what was asked of it.

Work is done as late as it may be: when somebody waits for it, or by chance when somebody asks for it. Memory that is
written too early, or an event that nobody waited for, so gives other numbers, or fails.
"""

from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor


def nothing() -> None:
    """Hold nothing."""


@dataclass(slots=True, eq=False)
class Event:
    """That work was done."""

    number: int
    stream: int
    work: Callable[[], None]
    after: tuple["Event", ...]
    behind: tuple["Event", ...]
    is_done: bool = False
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class RecordingDevice:
    """Does work late, in an order of chance."""

    slots: int = 3
    chance: Random = field(default_factory=lambda: Random(0))
    haste: float = 0.0
    """How often work is done at once, and is a step done when one asks whether something is done; 0 to 1."""
    record: list[str] = field(default_factory=list)
    """Copies as they were done: ``up <- ring 0``, ``down -> ring 1``."""
    rings: dict[int, int] = field(default_factory=dict)
    """Address of memory of the host to its number."""
    uses: MutableMapping[Any, Any] = field(default_factory=WeakKeyDictionary)
    waits: list[int] = field(default_factory=list)
    """Numbers of the events that were not there when the host waited for them."""
    events: list[Event] = field(default_factory=list)
    uploaded: list[ref] = field(default_factory=list)
    """What is on the device, as long as somebody holds it."""
    _queues: list[deque[Event]] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _made: list[Tensor] = field(default_factory=list)
    """Memory of the host, held so that no address comes twice."""

    def memory(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        made = torch.full(shape, 77, dtype=kind)
        self.rings[made.data_ptr()] = len(self._made)
        self._made.append(made)
        return made

    def stream(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
            self._queues.append(deque())
        return self._names.index(name)

    def launch(
        self, stream: int, work: Callable[[], None], after: Sequence[Event] = (), behind: Sequence[Event] = ()
    ) -> Event:
        event = Event(len(self.events), stream, work, tuple(after), tuple(behind))
        self.events.append(event)
        self._queues[stream].append(event)
        if self.chance.random() < self.haste:
            self._do_until(event)
            if event.error:
                raise event.error
        return event

    def upload(self, host: Tensor) -> Tensor:
        self.record.append(f"up <- ring {self.rings[host.data_ptr()]}")
        memory = host.numpy().copy()  # held by the tensor, and by all views of it
        self.uploaded.append(ref(memory))
        return torch.from_numpy(memory)

    def download(self, values: Tensor, host: Tensor) -> None:
        self.record.append(f"down -> ring {self.rings[host.data_ptr()]}")
        host.copy_(values)

    def is_done(self, event: Event) -> bool:
        if self.chance.random() < self.haste:
            self._step()
        return event.is_done

    def wait(self, event: Event) -> None:
        if not event.is_done:
            self.waits.append(event.number)
        self._do_until(event)
        if event.error:
            raise event.error

    @property
    def is_idle(self) -> bool:
        return not any(self._queues)

    def do_all(self) -> None:
        """Do everything that is queued."""
        while not self.is_idle:
            self._step()

    def _do_until(self, event: Event) -> None:
        while not event.is_done:
            self._step()

    def _step(self) -> None:
        """Do the next work of any stream whose events have happened."""
        first = [queue for queue in self._queues if queue]
        ready = [queue for queue in first if all(event.is_done for event in (*queue[0].after, *queue[0].behind))]
        if not ready:
            assert self.is_idle, "every stream waits for another"
            return
        event = self.chance.choice(ready).popleft()
        event.error = next((source.error for source in event.after if source.error), None)
        try:
            if not event.error:
                event.work()
        except Exception as error:  # raised where somebody waits for it
            event.error = error
        event.is_done, event.work = True, nothing
