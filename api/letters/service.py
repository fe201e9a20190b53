"""Plays letters again as their senders, in the order in which they came, and notes what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from pydantic import ValidationError

from api.audit.trail import Trail
from api.principal import Identities, Principal
from api.responses.schemas import NewResponse
from api.responses.service import Responses, refused
from api.scope import Scope
from core.errors import Conflict, EduError, NotFound, Unavailable
from core.postgres import Connection, Postgres
from ingestion import letters
from ingestion.accept import Acceptor, Origin, Outcome
from ingestion.letters import Letter, Wanted
from ingestion.scope import Caller

GROUP = 500
MOST_AT_ONCE = 10_000
_RETRY = """
insert into loader_jobs (kind, options) values ('retry', jsonb_build_object('letters', %(letters)s::bigint[]))
"""
_HAS_JOBS = "select to_regclass('loader_jobs') is not null as there"
Told: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Letters:
    """The dead letters of a school, or of all."""

    postgres: Postgres
    acceptor: Acceptor
    responses: Responses
    identities: Identities

    async def one(self, scope: Scope, letter_id: int) -> Letter:
        """A letter that the caller may see; raises `NotFound`."""
        found = await letters.find(self.postgres, Wanted(scope.principal.school_id, id=letter_id, state=None), 1)
        if not found:
            raise NotFound("There is no such letter here.")
        return found[0]

    async def fix(self, scope: Scope, letter_id: int, payload: Any, trail: Trail) -> Letter:
        """Keep a mended payload; raises `NotFound`, `Conflict` for a letter that is settled or is the loader's."""
        letter = await self.one(scope, letter_id)
        if letter.stage != "accept":
            raise Conflict("This row is in the record already; it is mended there, and then played again.")
        async with self.postgres.transaction() as connection:
            if not await letters.fix(connection, letter_id, payload, scope.principal.user_id):
                raise Conflict("This letter is settled.", code="letter_settled")
            await trail.record(connection, _people([letter]), school_id=letter.school_id)
        return await self.one(scope, letter_id)

    async def replay(self, wanted: Wanted, trail: Trail) -> dict[str, int]:
        """Play all of these again, at most 10,000; how many were accepted, known, rejected, or given to the loader."""
        counts = {"accepted": 0, "duplicate": 0, "rejected": 0, "loading": 0}
        after = 0
        for _ in range(MOST_AT_ONCE // GROUP):
            found = await letters.find_after(self.postgres, wanted, after, GROUP)
            if not found:
                break
            after = found[-1].id
            for _, group in groupby(found, lambda each: (each.stage, each.kind, each.school_id, each.sender_id)):
                for status, number in (await self._play(list(group), trail)).items():
                    counts[status] += number
        return counts

    async def _play(self, group: Sequence[Letter], trail: Trail) -> dict[str, int]:
        """Letters of one stage, kind and sender."""
        if group[0].stage == "load":
            return await self._load_again(group, trail)
        play = self._play_events if group[0].kind == "event" else self._play_responses
        outcomes = await play(group, _sender(group[0], trail.principal))
        by = trail.principal.user_id if trail.principal else None
        counts: dict[str, int] = {}
        async with self.postgres.transaction() as connection:
            for letter, told in zip(group, outcomes, strict=True):
                counts[told["status"]] = counts.get(told["status"], 0) + 1
                await letters.settle(connection, letter.id, told, told["status"] != "rejected", by)
            await self._note(connection, group, trail, counts)
        return counts

    async def _play_events(self, group: Sequence[Letter], sender: Principal) -> list[Told]:
        caller = Caller(sender.user_id, sender.school_id, sender.role)  # type: ignore[arg-type]
        origins = [Origin(each.received_at, f"letter {each.id}") for each in group]
        return [_told(each) for each in await self.acceptor.accept([each.said for each in group], caller, origins)]

    async def _play_responses(self, group: Sequence[Letter], sender: Principal) -> list[Told]:
        try:
            members = await self.identities.memberships(sender)
        except EduError as error:  # the sender is gone
            return [refused(error).model_dump(mode="json", exclude_none=True) for _ in group]
        scope = Scope(sender, members.classroom_ids, members.student_ids)
        return [await self._play_response(each, scope) for each in group]

    async def _play_response(self, letter: Letter, scope: Scope) -> Told:
        try:
            wish = NewResponse.model_validate(letter.said)
            origin = {"submitted_at": wish.submitted_at or letter.received_at, "client_id": wish.client_id}
            if wish.client_id is None:
                origin["client_id"] = f"letter-{letter.id}"
            found = await self.responses.submit(scope, wish.model_copy(update=origin))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            return {"status": "rejected", "reason": "invalid_field", "field": field, "message": first["msg"]}
        except Unavailable:
            raise
        except EduError as error:
            found = refused(error)
        return found.model_dump(mode="json", exclude_none=True)

    async def _load_again(self, group: Sequence[Letter], trail: Trail) -> dict[str, int]:
        async with self.postgres.transaction() as connection:
            there = await (await connection.execute(_HAS_JOBS)).fetchone()
            if not there or not there["there"]:
                raise Unavailable("The loader takes no letters here.")
            await connection.execute(_RETRY, {"letters": [each.id for each in group]})
            by = trail.principal.user_id if trail.principal else None
            for letter in group:
                await letters.settle(connection, letter.id, {"status": "loading"}, settled=True, by=by)
            counts = {"loading": len(group)}
            await self._note(connection, group, trail, counts)
        return counts

    async def _note(
        self, connection: Connection, group: Sequence[Letter], trail: Trail, counts: dict[str, int]
    ) -> None:
        first, last = group[0].id, group[-1].id
        await trail.record(
            connection, _people(group), school_id=group[0].school_id, letters=f"{first}-{last}", counts=counts
        )


def _sender(letter: Letter, player: Principal | None) -> Principal:
    """Who sent it; where nobody knows, whoever plays it."""
    if letter.sender_id is None or letter.sender_role is None:
        role = player.role if player else "operator"
        return Principal(role, player.user_id if player else None, letter.school_id)
    return Principal(letter.sender_role, letter.sender_id, letter.school_id)


def _people(group: Sequence[Letter]) -> set[int]:
    return {number for each in group for number in (each.user_id, each.sender_id) if number is not None}


def _told(outcome: Outcome) -> Told:
    told = {name: getattr(outcome, name) for name in ("status", "reason", "field", "message", "hint")}
    told["id"] = str(outcome.id) if outcome.id else None
    return {name: value for name, value in told.items() if value is not None}
