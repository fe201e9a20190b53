"""The list of the erased is kept on both sides; at a loader's start each learns from the other.

A record that was restored from a backup has people again whom ClickHouse knows as erased: they are erased again. A new
ClickHouse learns the list from the record.
"""

from __future__ import annotations

from core.telemetry import log
from ingestion.amendments.warehouse import rows
from ingestion.term import Term

_BACK = """
insert into amendments (kind, subject, school_id, asked_role, details)
select 'erasure', u.id, u.school_id, 'operator', '{"again": true}'
from unnest(%(ids)s::bigint[], %(moments)s::timestamptz[]) as e (id, created_at)
join users u on u.id = e.id and u.created_at = e.created_at
on conflict (subject) where kind = 'erasure' and state not in ('done', 'failed') do nothing
returning subject
"""
_LIST = "select user_id, created_at, school_id, erased_at from erased_people order by user_id, created_at"
_COLUMNS = ["user_id", "created_at", "school_id", "erased_at"]


def replay(term: Term) -> None:
    """Ask again for erasures that the record has forgotten, and tell ClickHouse those that it does not know."""
    told = rows(term.warehouse, "SELECT user_id, created_at FROM erasures FINAL", {})
    if told:
        values = {"ids": [row[0] for row in told], "moments": [row[1] for row in told]}
        for row in term.connection.execute(_BACK, values).fetchall():
            log.warning("a person who was erased is in the record again; he is erased again", user_id=row["subject"])
    known = {(row[0], row[1]) for row in told}
    found = term.connection.execute(_LIST).fetchall()
    new = [[row[name] for name in _COLUMNS] for row in found if (row["user_id"], row["created_at"]) not in known]
    if new:
        term.warehouse.call(
            lambda client: client.insert("erasures", new, column_names=_COLUMNS, settings={"async_insert": 0})
        )
