"""/api/v1/event-types: ours, and those that a school has made up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from psycopg.types.json import Jsonb
from pydantic import BaseModel, Field

from api.audit.trail import Trail, audited
from api.deps import ServicesDep, require
from api.envelope import Envelope, ok
from api.fields import Body, Id
from api.scope import ScopeDep
from api.sql import written
from core.errors import Conflict, NotFound
from core.postgres import Connection
from ingestion.custom import MOST_TYPES, check_name, check_schema
from ingestion.events import TYPES

router = APIRouter(prefix="/event-types", tags=["events"])
_ADMIN = [Depends(require("admin"))]
_COLUMNS = "id, school_id, name, version, description, schema, by_students, created_at, deprecated_at"
_LIST = f"select {_COLUMNS} from event_types where school_id = %(school_id)s order by name, version"
_ONE = f"select {_COLUMNS} from event_types where (school_id, name, version) = (%(school_id)s, %(name)s, %(version)s)"
_COUNT = """
select count(*) as n, max(version) filter (where name = %(name)s) as newest
from event_types where school_id = %(school_id)s
"""
_INSERT = f"""
insert into event_types (school_id, name, version, description, schema, by_students, created_by)
values (%(school_id)s, %(name)s, %(version)s, %(description)s, %(schema)s, %(by_students)s, %(by)s)
returning {_COLUMNS}
"""
_DEPRECATE = f"""
update event_types set deprecated_at = coalesce(deprecated_at, now())
where id = %(id)s and (%(my_school)s::bigint is null or school_id = %(my_school)s) returning {_COLUMNS}
"""


class EventType(BaseModel):
    """A name, a version, and the JSON Schema of the metadata; ours have no number and no school."""

    id: int | None = None
    school_id: int | None = None
    name: str = Field(examples=["lab.experiment_started"])
    version: int
    description: str | None = None
    schema_: Any = Field(serialization_alias="schema", validation_alias="schema")
    by_students: bool = Field(description="Whether students may send it.")
    created_at: datetime | None = None
    deprecated_at: datetime | None = Field(None, description="Events that happened later are refused.")


class NewEventType(Body):
    """A type of one's own. Its events carry `schema_version`; without it they are of version 1."""

    name: str = Field(max_length=100, examples=["lab.experiment_started"], description="Dotted; ours have no dot.")
    version: int = Field(1, ge=1, le=32_767, description="1, then one more each time.")
    description: str | None = Field(None, max_length=1_000)
    schema_: dict[str, Any] = Field(
        alias="schema",
        description="JSON Schema (2020-12) of the metadata, without references.",
        examples=[{"type": "object", "properties": {"substance": {"type": "string"}}, "required": ["substance"]}],
    )
    by_students: bool = True
    school_id: Id | None = Field(None, description="For operators.")


@router.get("", dependencies=[Depends(require("student", "teacher", "admin"))])
async def list_types(
    services: ServicesDep, scope: ScopeDep, school_id: Annotated[Id | None, Query(description="For operators.")] = None
) -> Envelope[list[EventType]]:
    """Ours, and those of your school."""
    place = scope.principal.school_id or school_id
    rows = await services.postgres.fetch(_LIST, {"school_id": place}) if place else []
    return ok([*_OURS, *(EventType(**row) for row in rows)])


@router.post("", status_code=201, dependencies=_ADMIN)
async def register_type(
    wish: NewEventType,
    services: ServicesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("event_type.registered"))],
) -> Envelope[EventType]:
    """Register a type, or its next version. A version never changes: the same again is told, another is refused."""
    check_name(wish.name)
    check_schema(wish.schema_)
    values = wish.model_dump() | {"school_id": scope.school_for(wish.school_id), "by": scope.principal.user_id}
    async with services.postgres.transaction() as connection:
        row = await _register(connection, values)
        await trail.record(connection, school_id=row["school_id"], target=f"event_type={row['id']}")
    services.ingestion.acceptor.types.forget(row["school_id"])
    return ok(EventType(**row))


@router.delete("/{type_id}", dependencies=_ADMIN)
async def deprecate_type(
    type_id: Id,
    services: ServicesDep,
    scope: ScopeDep,
    trail: Annotated[Trail, Depends(audited("event_type.deprecated"))],
) -> Envelope[EventType]:
    """Take no more of it; what happened before, and comes late, is still welcome."""
    async with services.postgres.transaction() as connection:
        cursor = await connection.execute(_DEPRECATE, {"id": type_id, "my_school": scope.principal.school_id})
        row = await cursor.fetchone()
        if row is None:
            raise NotFound("There is no such type of event here.")
        await trail.record(connection, school_id=row["school_id"])
    services.ingestion.acceptor.types.forget(row["school_id"])
    return ok(EventType(**row), "Deprecated.")


async def _register(connection: Connection, values: dict[str, Any]) -> Mapping[str, Any]:
    """The row; one registers at a time in a school, so that nobody passes the limit."""
    locked = await connection.execute("select id from schools where id = %(school_id)s for no key update", values)
    if await locked.fetchone() is None:
        raise NotFound("There is no such school.")
    known = await (await connection.execute(_ONE, values)).fetchone()
    if known:
        if (known["schema"], known["by_students"]) != (values["schema_"], values["by_students"]):
            raise Conflict("This version is there and never changes. Register the next one.", code="version_taken")
        return known
    there = await written(connection, _COUNT, values)
    if there["n"] >= MOST_TYPES:
        message = f"A school has at most {MOST_TYPES} types of its own, versions included."
        raise Conflict(message, code="too_many_types", limit=MOST_TYPES)
    following = (there["newest"] or 0) + 1
    if values["version"] != following:
        raise Conflict(f"The next version of {values['name']} is {following}.", code="version_gap", next=following)
    return await written(connection, _INSERT, values | {"schema": Jsonb(values["schema_"])})


_OURS = [
    EventType(
        name=kind.name, version=kind.version, schema=msgspec.json.schema(kind.metadata), by_students=kind.by_students,
        description=(kind.metadata.__doc__ or "").splitlines()[0],
    )
    for kind in TYPES.values()
]  # fmt: skip
