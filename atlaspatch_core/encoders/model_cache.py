"""The networks that a process keeps loaded from one run to the next; idle ones go when memory is asked for."""

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast
from weakref import WeakValueDictionary

from atlaspatch_core.isolation.memory import free_memory

if TYPE_CHECKING:
    from torch import device

log = logging.getLogger(__name__)
Model = TypeVar("Model")

MOST_KEPT = 8
"""Networks that are kept though no run uses them."""
LEAST_FREE = 0.25
"""Of the memory of a device; where less is free, idle networks go before another is loaded."""


class ModelKey(NamedTuple):
    """What a loaded network is told apart by: other weights under the same path are another network."""

    spec: str
    """What decides its numbers, as canonical JSON."""
    device: str
    precision: str = "float32"
    compile: str = "auto"


class ModelCache:
    """Keeps networks that were used last. Those that a run holds are found as long as it does. Safe from threads."""

    def __init__(self, most: int = MOST_KEPT, free_share: "Callable[[device], float] | None" = None) -> None:
        """``most`` are kept idle; ``free_share`` tells how much of a device's memory is free, 0 to 1."""
        self._most, self._free_share = most, free_share or share_of_free_memory
        self._models: OrderedDict[ModelKey, object] = OrderedDict()
        self._alive: WeakValueDictionary[ModelKey, object] = WeakValueDictionary()
        self._lock = RLock()

    def get(self, key: ModelKey, device: "device", load: Callable[[], Model]) -> Model:
        """Return the network of that key, loaded where it is not in memory. Raises what ``load`` raises.

        Where the device has no room for it, the idle ones go and it is tried once more.
        """
        with self._lock:
            model = self._alive.get(key)
            if model is None:
                model = self._alive[key] = self._load(device, load)
            self._models[key] = model
            self._models.move_to_end(key)
            if len(self._models) > self._most:
                self._models.popitem(last=False)
            return cast("Model", model)

    def release_idle(self) -> int:
        """Let the networks go that no run holds, and return how many went."""
        with self._lock:
            before, keys = len(self._alive), [*self._models]
            self._models.clear()
            gc.collect()
            _give_back_to_devices()
            self._models.update((key, self._alive[key]) for key in keys if key in self._alive)
            return before - len(self._alive)

    def _load(self, device: "device", load: Callable[[], Model]) -> Model:
        from torch import OutOfMemoryError

        if self._models and self._free_share(device) < LEAST_FREE and (count := self.release_idle()):
            log.info("less than a quarter of the memory of %s is free: let %d idle networks go", device, count)
        try:
            return load()
        except (OutOfMemoryError, MemoryError):
            if not self.release_idle():
                raise
        return load()


def share_of_free_memory(device: "device") -> float:
    """Return how much of a device's memory is free, 0 to 1; 1 where nothing tells."""
    from torch import cuda

    memory = cuda.mem_get_info(device) if device.type == "cuda" else free_memory()
    return memory[0] / memory[1] if memory else 1.0


def _give_back_to_devices() -> None:
    from torch import cuda

    if cuda.is_initialized():
        cuda.empty_cache()


MODELS = ModelCache()
"""The one of this process."""
