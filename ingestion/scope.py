"""Which school an id belongs to: asked of the record in one query, remembered for half a minute."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.postgres import Postgres

Thing: TypeAlias = tuple[str, int]

_SECONDS = 30.0
_MOST = 200_000
_TABLES = {
    "user_id": "users",
    "classroom_id": "classrooms",
    "quiz_id": "quizzes",
    "session_id": "quiz_sessions",
    "question_id": "questions",
}
_QUERY = " union all ".join(
    f"select '{field}' as field, id, school_id from {table} where id = any(%({field})s)"
    for field, table in _TABLES.items()
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends: taken from the token, never from a body. An operator has no school."""

    user_id: int
    school_id: int | None
    role: Literal["student", "teacher", "admin", "operator"]


class Scope:
    """Remembers (field, id) → school. What is not found is asked again each time: it may just have been made."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._known: dict[Thing, tuple[float, int | None]] = {}

    async def foreign(self, school_id: int, things: Iterable[Thing]) -> set[Thing]:
        """Those of `things` that are neither the school's nor shared by all."""
        wanted = set(things)
        await self._learn(wanted)
        return {thing for thing in wanted if not self._belongs(thing, school_id)}

    def _belongs(self, thing: Thing, school_id: int) -> bool:
        if thing not in self._known:
            return False
        owner = self._known[thing][1]
        return owner == school_id or (owner is None and thing[0] in ("quiz_id", "question_id"))

    async def _learn(self, things: set[Thing]) -> None:
        moment = time.monotonic()
        old = moment - _SECONDS
        missing = [thing for thing in things if self._known.get(thing, (old, None))[0] <= old]
        if not missing:
            return
        if len(self._known) > _MOST:
            self._known.clear()
        for thing in missing:
            self._known.pop(thing, None)
        ids = {field: [identifier for name, identifier in missing if name == field] for field in _TABLES}
        for row in await self._postgres.fetch(_QUERY, ids):
            self._known[row["field"], row["id"]] = (moment, row["school_id"])
