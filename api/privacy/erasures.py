"""Erasures: what would go, who asked, how far it is, what was done. The work itself is `ingestion/amendments`.

An erasure closes the account at once and ends its log-ins; the loader takes the person out of both stores.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation
from pydantic import BaseModel, Field

from api.audit.trail import Trail
from api.auth.revocations import end_user
from api.deps import Services
from api.directory import store as directory
from api.fields import Paging
from api.scope import Scope
from api.sql import counted
from core.errors import Conflict, NotFound
from core.postgres import connect
from ingestion.amendments.erasure import count_record, count_warehouse
from ingestion.amendments.holds import standing
from ingestion.amendments.queue import COLUMNS, ask

_SEES = "kind = 'erasure' and (%(operator)s or school_id = %(my_school)s)"
_MATCHES = "(%(person)s::bigint is null or subject = %(person)s)"
_LIST = f"""
select {COLUMNS} from amendments where {_SEES} and {_MATCHES} order by id desc limit %(limit)s offset %(offset)s
"""
_ONE = f"select {COLUMNS} from amendments where {_SEES} and id = %(id)s"
_COUNT = f"select count(*) as n from amendments where {_SEES} and {_MATCHES}"
_SEAL = "select created_at, version from users where id = %s"
_CLOSE = "update users set disabled_at = coalesce(disabled_at, now()) where id = %s"
_SLACK_SECONDS = 60


class Preview(BaseModel):
    """What an erasure would take away."""

    person: int
    record: dict[str, int] = Field(description="Rows of Postgres that know the person, by place.")
    warehouse: dict[str, int] = Field(description="Rows of ClickHouse, by table; all versions of a row.")
    holds: list[int] = Field(description="Legal holds that stand; while there is one, nothing is erased.")
    confirmation: str = Field(description="Send it with POST: it shows that this preview was seen.")


class Erasure(BaseModel):
    """One erasure."""

    id: int
    person: int
    school_id: int | None
    state: str = Field(description="waiting, held (a legal hold), sending, settling, done.")
    asked_by: int | None
    asked_role: str
    asked_at: datetime
    applied_at: datetime | None = Field(description="From then on no question finds the person.")
    finished_at: datetime | None = Field(description="From then on his bytes are gone from the tables.")
    certificate: dict[str, Any] | None = Field(description="Rows before and after, by place; what remains, and why.")
    hash: str | None = Field(description="SHA-256 of the certificate as JSON with sorted keys and no spaces.")


@dataclass(frozen=True)
class Erasures:
    """Erasures for one caller."""

    services: Services
    scope: Scope

    async def preview(self, user_id: int) -> Preview:
        """Count what there is; nothing is changed."""
        user = await self._person(user_id)
        record, warehouse = await asyncio.to_thread(self._counts, user_id)
        async with self.services.postgres.transaction() as connection:
            holds = await standing(connection, user_id, user["school_id"])
        seal = await self._confirmation(user_id)
        return Preview(person=user_id, record=record, warehouse=warehouse, holds=holds, confirmation=seal)

    def _counts(self, user_id: int) -> tuple[dict[str, int], dict[str, int]]:
        with connect(self.services.postgres.url) as connection:
            return count_record(connection, user_id), count_warehouse(self.services.warehouse, user_id)

    async def ask(self, trail: Trail, user_id: int, confirmation: str) -> Erasure:
        """Close the account and put the erasure into the queue."""
        user = await self._person(user_id)
        if user_id == self.scope.principal.user_id:
            raise Conflict("Nobody erases himself.", hint="Another admin or an operator does it.", code="own_account")
        if confirmation != await self._confirmation(user_id):
            raise Conflict("This is not the preview's confirmation.", hint="Look at it again.", code="not_confirmed")
        try:
            row = await self._enqueue(trail, user_id, user["school_id"])
        except UniqueViolation:
            raise Conflict("This person is being erased already.", code="already_asked") from None
        await self.services.ingestion.service_tokens.revocations.announce()
        self.services.identities.forget()
        self.services.ingestion.loader.wake()
        return _shown(row)

    async def _enqueue(self, trail: Trail, user_id: int, school_id: int | None) -> dict[str, Any]:
        principal = self.scope.principal
        settle = math.ceil(self.services.settings.request_seconds) + _SLACK_SECONDS
        async with self.services.postgres.transaction() as connection:
            if holds := await standing(connection, user_id, school_id):
                raise Conflict("A legal hold stands on this person or the school.", code="on_hold", holds=holds)
            await connection.execute(_CLOSE, [user_id])
            await end_user(connection, user_id, "erased")
            by = (principal.user_id, principal.role)
            made = await ask(connection, "erasure", user_id, school_id, by, settle_seconds=settle)
            await trail.record(connection, [user_id], school_id=school_id, amendment=made.id)
        return asdict(made)

    async def one(self, erasure_id: int) -> Erasure:
        """One erasure of the caller's school."""
        row = await self.services.postgres.fetch_one(_ONE, self.scope.parameters | {"id": erasure_id})
        if row is None:
            raise NotFound("There is no such erasure.")
        return _shown(row)

    async def page(self, paging: Paging, person: int | None) -> tuple[list[Erasure], int]:
        """The newest first."""
        values = self.scope.parameters | paging.limit | {"person": person}
        rows = await self.services.postgres.fetch(_LIST, values)
        return [_shown(row) for row in rows], await counted(self.services.postgres, _COUNT, values)

    async def _person(self, user_id: int) -> dict[str, Any]:
        user = await directory.one(self.services.postgres, "users", self.scope.parameters, user_id)
        if user is None:
            raise NotFound("There is no such user.")
        return user

    async def _confirmation(self, user_id: int) -> str:
        row = await self.services.postgres.fetch_one(_SEAL, [user_id]) or {}
        told = f"{user_id} {row.get('created_at')} {row.get('version')}"
        return hashlib.sha256(told.encode()).hexdigest()[:12]


def _shown(row: dict[str, Any]) -> Erasure:
    told = {name: row[name] for name in Erasure.model_fields if name in row}
    return Erasure(**told, person=row["subject"], certificate=row["result"])
