"""Questions that come again word for word, of the same caller: what was made of them, but the rows, is made once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from api.audit.personal import Seen
from engine.query.access import SecurityContext
from engine.run.engine import Answer

_MOST = 1_000
_MOST_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, what it shows of people, and its body: good for as long as the engine gives this very answer."""

    answer: Answer
    seen: Seen | None
    body: bytes


class Repeated:
    """What was told last to each caller who asked in these words; small answers only, the newest `_MOST` of them."""

    def __init__(self) -> None:
        self._told: OrderedDict[Hashable, Told] = OrderedDict()

    def get(self, key: Hashable) -> Told | None:
        """What was told to this key, if it is still known."""
        told = self._told.get(key)
        if told is not None:
            self._told.move_to_end(key)
        return told

    def keep(self, key: Hashable, told: Told) -> None:
        """Know it from now on; not what reads differently at another moment, or is large."""
        if told.answer.request.passing or len(told.body) > _MOST_BYTES:
            return
        self._told[key] = told
        self._told.move_to_end(key)
        if len(self._told) > _MOST:
            self._told.popitem(last=False)


def key_of(words: Hashable, context: SecurityContext) -> Hashable:
    """Who asks in which words. The attributes go in as they are written: 1 and True are equal, and not the same."""
    return words, context.groups, repr(context.attributes)
