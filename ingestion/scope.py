"""Whom and what a sender may write about, asked of the record in one query and remembered for a while."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.postgres import Postgres
from ingestion.reach import KEPT, STAYS, THINGS, Known, Reach, Thing, read_known, read_stays

_THING_SECONDS = 30.0
_SENDER_SECONDS = 1.0
_MOST_THINGS = 200_000
_MOST_SENDERS = 20_000
_FIELDS = ("user_id", "classroom_id", "quiz_id", "session_id", "question_id")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends: taken from the token, never from a body. An operator has no school."""

    user_id: int
    school_id: int | None
    role: Literal["student", "teacher", "admin", "operator"]


class Scope:
    """Remembers things for half a minute and senders for a second. A no is asked again each time: what it is about
    may just have been made."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._known: dict[Thing, tuple[float, Known]] = {}
        self._reach: dict[Caller, tuple[float, Reach]] = {}

    async def foreign(
        self, caller: Caller, school_id: int, named: Sequence[tuple[Thing, datetime]]
    ) -> set[tuple[Thing, datetime]]:
        """Those of `named`, each a thing and the moment of its event, that the caller may not write about.

        Whoever may write about a thing's newest event may write about those before it, so few moments are looked at."""
        newest: dict[Thing, datetime] = {}
        for thing, moment in named:
            known = newest.get(thing)
            if known is None or known < moment:
                newest[thing] = moment
        if not newest:
            return set()
        doubtful = {thing for thing, _ in await self._denied(caller, school_id, set(newest.items()), fresh=False)}
        if not doubtful:
            return set()
        return await self._denied(caller, school_id, {each for each in named if each[0] in doubtful}, fresh=True)

    async def _denied(
        self, caller: Caller, school_id: int, wanted: set[tuple[Thing, datetime]], fresh: bool
    ) -> set[tuple[Thing, datetime]]:
        reach = await self._sender(caller, school_id, fresh)
        await self._learn({thing for thing, _ in wanted}, fresh)
        return {
            (thing, moment)
            for thing, moment in wanted
            if thing not in self._known or not reach.covers(thing, self._known[thing][1], moment)
        }

    async def _sender(self, caller: Caller, school_id: int, fresh: bool) -> Reach:
        if caller.role in ("admin", "operator"):
            return Reach(school_id, caller.user_id, whole=True)
        moment, found = time.monotonic(), self._reach.get(caller)
        if found and not fresh and moment - found[0] < _SENDER_SECONDS:
            return found[1]
        who = {"user_id": caller.user_id, "school_id": school_id, "role": caller.role, "kept": KEPT}
        rows = await self._postgres.fetch(STAYS, who)
        rooms, people = read_stays(rows, "classroom_id"), read_stays(rows, "user_id")
        reach = Reach(school_id, caller.user_id, rooms=rooms, people=people)
        if len(self._reach) > _MOST_SENDERS:
            self._reach.clear()
        self._reach[caller] = (moment, reach)
        return reach

    async def _learn(self, things: set[Thing], fresh: bool) -> None:
        moment = time.monotonic()
        old = moment if fresh else moment - _THING_SECONDS
        missing = [thing for thing in things if self._known.get(thing, (old, None))[0] <= old]
        if not missing:
            return
        ids = {field: [identifier for name, identifier in missing if name == field] for field in _FIELDS}
        found = {(row["field"], row["id"]): read_known(row) for row in await self._postgres.fetch(THINGS, ids)}
        for thing in missing:
            self._known.pop(thing, None)
        if len(self._known) > _MOST_THINGS:
            self._known.clear()
        self._known |= {thing: (moment, known) for thing, known in found.items()}
