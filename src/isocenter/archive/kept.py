"""A few values by key, those asked for last, within bounds: what costs something to make and is wanted again soon."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Kept(Generic[_Value]):
    """No more than `count` values of `most` bytes together, as `size` tells them. For several threads at once."""

    def __init__(self, count: int, most: int, size: Callable[[_Value], int]) -> None:
        self._count, self._most, self._size = count, most, size
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> _Value | None:
        """The value of a key, None where it is not kept (any more)."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            return found

    def keep(self, key: Hashable, value: _Value) -> None:
        """Keep a value. One that would push most of the others out is not kept."""
        size = self._size(value)
        if size > self._most // 4:
            return
        with self._lock:
            if key in self._values:
                return
            self._values[key] = value
            self._bytes += size
            while len(self._values) > self._count or self._bytes > self._most:
                self._bytes -= self._size(self._values.popitem(last=False)[1])
