"""Legal holds: set and released by admins for their school and its people, by operators for all."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints, model_validator

from api.audit.trail import Trail
from api.deps import Services
from api.directory import store as directory
from api.fields import Body, Id
from api.scope import Scope
from api.sql import written
from core.errors import NotFound

_COLUMNS = "id, school_id, user_id, reason, set_by, set_at, released_by, released_at"
_SEES = "(%(operator)s or school_id = %(my_school)s)"
_LIST = f"select {_COLUMNS} from holds where {_SEES} and (%(all)s or released_at is null) order by id desc limit 1000"
_SET = f"""
insert into holds (school_id, user_id, reason, set_by) values (%(school_id)s, %(user_id)s, %(reason)s, %(by)s)
returning {_COLUMNS}
"""
_RELEASE = f"""
update holds set released_at = clock_timestamp(), released_by = %(by)s
where id = %(id)s and released_at is null and {_SEES} returning {_COLUMNS}
"""
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class NewHold(Body):
    """On a person, or on a whole school."""

    user_id: Id | None = None
    school_id: Id | None = None
    reason: Reason

    @model_validator(mode="after")
    def _check_one(self) -> NewHold:
        if (self.user_id is None) == (self.school_id is None):
            raise ValueError("name either user_id or school_id")
        return self


class Hold(BaseModel):
    """A legal hold; `user_id` null: on the whole school."""

    id: int
    school_id: int | None
    user_id: int | None
    reason: str
    set_by: int | None
    set_at: datetime
    released_by: int | None
    released_at: datetime | None


async def list_holds(services: Services, scope: Scope, *, released: bool) -> list[Hold]:
    """The newest first."""
    rows = await services.postgres.fetch(_LIST, scope.parameters | {"all": released})
    return [Hold(**row) for row in rows]


async def set_hold(services: Services, scope: Scope, trail: Trail, wish: NewHold) -> Hold:
    """Nothing of this person or school is erased or dropped from now on."""
    school_id = await _school(services, scope, wish)
    values: dict[str, Any] = {"school_id": school_id, "user_id": wish.user_id, "reason": wish.reason}
    async with services.postgres.transaction() as connection:
        row = await written(connection, _SET, values | {"by": scope.principal.user_id})
        people = [wish.user_id] if wish.user_id else []
        await trail.record(connection, people, school_id=school_id, target=f"hold_id={row['id']}")
    return Hold(**row)


async def _school(services: Services, scope: Scope, wish: NewHold) -> int | None:
    table, row_id = ("users", wish.user_id) if wish.user_id else ("schools", wish.school_id)
    row = await directory.one(services.postgres, table, scope.parameters, row_id or 0)
    if row is None:
        raise NotFound(f"There is no such {table[:-1]}.")
    school: int | None = row["school_id"] if wish.user_id else row["id"]
    return school


async def release(services: Services, scope: Scope, trail: Trail, hold_id: int) -> Hold:
    """What waited for it goes on."""
    async with services.postgres.transaction() as connection:
        values = scope.parameters | {"id": hold_id, "by": scope.principal.user_id}
        row = await (await connection.execute(_RELEASE, values)).fetchone()
        if row is None:
            raise NotFound("There is no such hold.")
        people = [row["user_id"]] if row["user_id"] else []
        await trail.record(connection, people, school_id=row["school_id"])
    services.ingestion.loader.wake()
    return Hold(**row)
