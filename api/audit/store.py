"""The audit log in the record. A trigger gives each line its place in the chain; nothing is ever changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from api.audit.entries import Entry
from api.fields import Paging
from api.sql import counted
from core.ids import derived_id
from core.postgres import Connection, Postgres

_COLUMNS = (
    "audit_id, school_id, actor_id, actor_role, action, target, subjects, outcome, request_id, details, occurred_at"
)
_APPEND = f"""
insert into audit_log ({_COLUMNS})
select {_COLUMNS} from jsonb_to_recordset(%(entries)s::jsonb) as entry(
    audit_id uuid, school_id bigint, actor_id bigint, actor_role text, action text, target text, subjects bigint[],
    outcome text, request_id text, details jsonb, occurred_at timestamptz)
on conflict (audit_id) do nothing
"""
_SCHOOLS = "select id, school_id from users where id = any(%(ids)s)"
_SEES = "(%(operator)s or school_id = %(my_school)s)"
_MATCHES = """
(%(actor_id)s::bigint is null or actor_id = %(actor_id)s)
and (%(subject_id)s::bigint is null or subjects @> array[%(subject_id)s::bigint])
and (%(action)s::text is null or action = %(action)s or starts_with(action, %(action)s || '.'))
and (%(outcome)s::text is null or outcome = %(outcome)s)
and (%(start)s::timestamptz is null or occurred_at >= %(start)s)
and (%(stop)s::timestamptz is null or occurred_at < %(stop)s)
"""


async def append(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write lines within the caller's transaction; the chain is locked until it ends, so let this be its last word."""
    lines = await _by_school(connection, entries)
    text = orjson.dumps([_line(entry) for entry in lines]).decode()
    await connection.execute(_APPEND, {"entries": text})


def _line(entry: Entry) -> dict[str, Any]:
    return {name.strip(): getattr(entry, name.strip()) for name in _COLUMNS.split(",")}


async def _by_school(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    """What somebody of no school (an operator, an analyst) did is told to the school of each person concerned."""
    unknown = {subject for entry in entries if entry.school_id is None for subject in entry.subjects}
    if not unknown:
        return list(entries)
    cursor = await connection.execute(_SCHOOLS, {"ids": list(unknown)})
    schools = {row["id"]: row["school_id"] for row in await cursor.fetchall()}
    return [line for entry in entries for line in _split(entry, schools)]


def _split(entry: Entry, schools: dict[int, int | None]) -> Iterable[Entry]:
    if entry.school_id is not None or not entry.subjects:
        yield entry
        return
    people: dict[int | None, list[int]] = defaultdict(list)
    for subject in entry.subjects:
        people[schools.get(subject)].append(subject)
    for number, (school_id, subjects) in enumerate(people.items()):
        identifier = derived_id(entry.occurred_at, entry.audit_id, school_id) if number else entry.audit_id
        yield replace(entry, audit_id=identifier, school_id=school_id, subjects=tuple(subjects))


async def page(
    postgres: Postgres, scope: dict[str, Any], paging: Paging, **wanted: Any
) -> tuple[list[dict[str, Any]], int]:
    """The newest lines first, and how many there are."""
    values = scope | paging.limit | wanted
    rows = await postgres.fetch(
        f"select chain, received_at, encode(hash, 'hex') as hash, {_COLUMNS} from audit_log "
        f"where {_SEES} and {_MATCHES} order by chain desc limit %(limit)s offset %(offset)s",
        values,
    )
    return rows, await counted(postgres, f"select count(*) as n from audit_log where {_SEES} and {_MATCHES}", values)
