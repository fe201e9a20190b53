"""What has been worked out once for a catalog is kept as long as the catalog lives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from engine.model.catalog import Catalog

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by catalog and key, from any thread; what has not been asked for the longest goes when there are more
    than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: WeakKeyDictionary[Catalog, OrderedDict[K, V]] = WeakKeyDictionary()
        self._lock = Lock()

    def get(self, catalog: Catalog, key: K, make: Callable[[], V]) -> V:
        """The value of that key; made at the first time, by two threads at once perhaps, and then one stays."""
        with self._lock:
            values = self._values.setdefault(catalog, OrderedDict())
            if key in values:
                values.move_to_end(key)
                return values[key]
        made = make()
        with self._lock:
            kept = values.setdefault(key, made)
            if len(values) > self._most:
                values.popitem(last=False)
        return kept


class Same:
    """A key that stands for one object, not for what it says: found fast, and the object stays while the key does."""

    __slots__ = ("object",)

    def __init__(self, thing: object) -> None:
        self.object = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.object is self.object

    def __hash__(self) -> int:
        return id(self.object)
