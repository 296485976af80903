"""A generator that runs ahead of its consumer in a thread, by a bounded number of bytes."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


def prefetch(items: Generator[Item], size: Callable[[Item], int], most_bytes: int) -> Generator[Item]:
    """Yield what ``items`` yields, which runs in a thread of its own until ``most_bytes`` wait.

    One item may always wait, however large. What ``items`` raises is raised here. Closing this generator closes
    ``items`` at its next step and waits for the thread.
    """
    waiting = _Waiting(size, most_bytes)
    thread = Thread(target=waiting.fill, args=(items,), name="ahead", daemon=True)
    thread.start()
    try:
        yield from waiting.take_items()
    finally:
        waiting.close()
        thread.join()


class _Waiting(Generic[Item]):
    """Items between two threads."""

    def __init__(self, size: Callable[[Item], int], most_bytes: int) -> None:
        self.size, self.most_bytes = size, most_bytes
        self.items: deque[Item] = deque()
        self.bytes = 0
        self.ended = self.closed = False
        self.error: BaseException | None = None
        self.changed = Condition()

    def fill(self, items: Generator[Item]) -> None:
        """Put every item, until there are no more or nobody wants them."""
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as error:  # raised again where the items are consumed
            self.error = error
        finally:
            items.close()
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _put(self, item: Item) -> bool:
        """Wait for room and put an item; return whether more are wanted."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or not self.items or self.bytes < self.most_bytes)
            self.items.append(item)
            self.bytes += self.size(item)
            self.changed.notify_all()
            return not self.closed

    def take_items(self) -> Iterator[Item]:
        """Yield items as they come."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.items or self.ended)
                if not self.items:
                    break
                item = self.items.popleft()
                self.bytes -= self.size(item)
                self.changed.notify_all()
            yield item
        if self.error:
            raise self.error

    def close(self) -> None:
        """Want no more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
