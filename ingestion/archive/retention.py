"""A school says how many months it keeps (`schools.retention_months`): what is older leaves everything.

Answers, events, results known as a sum, letters that could not be taken; record, ClickHouse and archive. Months are
counted as everywhere: with 12, on any day of November 2026, November 2025 stays. Who is on legal hold stays, a school
on hold wholly. The record goes first, with its batches and between two passes of the loader, so that no row is on its
way; ClickHouse right after; a kill in between is finished by the next run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.clock import epoch_ms, now
from core.ids import first_id
from core.warehouse import Warehouse
from ingestion.archive.balance import batch_sums, subtract, under_way
from ingestion.archive.erasure import rewrite
from ingestion.archive.holds import holds
from ingestion.archive.layout import ARCHIVED, EVENTS, Fact
from ingestion.archive.manifest import find_files, throw_away
from ingestion.archive.removal import delete_rows
from ingestion.archive.store import Store
from ingestion.archive.tiers import months_before
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint

_SCHOOLS = "select id, retention_months from schools where retention_months is not null order by id"
_DONE = "select max(before) as before from retention_removals where table_name = %s and school_id = %s"
_DELETE = """
delete from {table} where school_id = %(school)s and {at} < %(before)s {bound}
  and not (coalesce({person}, 0) = any(%(kept)s::bigint[]))
"""
_OTHERS = {
    "quiz_results": "submitted_at < %(before)s and not (student_id = any(%(kept)s::bigint[]))",
    "dead_letters": "received_at < %(before)s",
}
_NOTE = """
insert into retention_removals (table_name, school_id, before, kept, rows, state)
values (%(table)s, %(school)s, %(before)s, %(kept)s, %(rows)s, 'leaving')
"""
_LEAVING = "select * from retention_removals where state = 'leaving' order by id"


@dataclass(frozen=True, slots=True)
class Limit:
    """A school, and the moment before which it keeps nothing but what belongs to `kept` persons."""

    school_id: int
    before: datetime
    kept: tuple[int, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """For Postgres."""
        return {
            "school": self.school_id,
            "before": self.before,
            "kept": list(self.kept),
            "bound": first_id(max(self.before, datetime.fromtimestamp(0, self.before.tzinfo))),
        }

    def doomed(self, fact: Fact) -> tuple[str, dict[str, Any]]:
        """For ClickHouse and for files: a condition and its values."""
        kept = "".join(f" AND ifNull({fact.person}, 0) <> {int(person)}" for person in self.kept)
        before = "fromUnixTimestamp64Milli({before:Int64}, 'UTC')"
        values = {"school": self.school_id, "before": epoch_ms(self.before)}
        return f"school_id = {{school:Int64}} AND {fact.at} < {before}{kept}", values


def limits(connection: Blocking) -> list[Limit]:
    """The schools that keep data for a time only and are not on hold."""
    held = holds(connection)
    return [
        Limit(row["id"], months_before(now(), row["retention_months"]), tuple(sorted(held.persons)))
        for row in connection.execute(_SCHOOLS).fetchall()
        if row["id"] not in held.schools
    ]


def leave_record(connection: Blocking, warehouse: Warehouse) -> dict[str, int]:
    """Delete from the record what the schools keep no longer; how many rows of each table.

    To be called between two passes of the loader. A table with a batch under way waits for the next time.
    """
    gone: dict[str, int] = {}
    for limit in limits(connection):
        for fact in ARCHIVED.values():
            gone[fact.table] = gone.get(fact.table, 0) + _delete_facts(connection, warehouse, fact, limit)
        for table, condition in _OTHERS.items():
            statement = f"delete from {table} where school_id = %(school)s and {condition}"
            gone[table] = gone.get(table, 0) + connection.execute(statement, limit.values).rowcount
    return gone


def leave_warehouse(connection: Blocking, warehouse: Warehouse) -> int:
    """Delete from ClickHouse what has left the record; how many removals were finished."""
    rows = connection.execute(_LEAVING).fetchall()
    for row in rows:
        fact = ARCHIVED[row["table_name"]]
        delete_rows(warehouse, fact, *Limit(row["school_id"], row["before"], tuple(row["kept"])).doomed(fact))
        failpoint("retention_deleted")
        connection.execute("update retention_removals set state = 'gone' where id = %s", (row["id"],))
    return len(rows)


def leave_files(connection: Blocking, warehouse: Warehouse, store: Store) -> int:
    """Write the files concerned anew; how many rows left them. The connection holds the archive's lock."""
    gone = 0
    for limit in limits(connection):
        for file in find_files(connection, "school_id = %(school)s and first_at < %(before)s", limit.values):
            if file.sums.last_at and file.sums.last_at < limit.before and not limit.kept:
                throw_away(connection, [file.id])
                gone += file.sums.rows
            else:
                gone += rewrite(connection, warehouse, store, file, *limit.doomed(file.month.fact))
    return gone


def _delete_facts(connection: Blocking, warehouse: Warehouse, fact: Fact, limit: Limit) -> int:
    if _is_leaving(connection, fact, limit):
        return 0
    sums = batch_sums(warehouse, fact, *limit.doomed(fact))
    if not sums and _is_done(connection, fact, limit):
        return 0
    with connection.transaction():
        if under_way(connection, fact):
            return 0
        subtract(connection, fact, sums)
        bound = "and event_id < %(bound)s" if fact is EVENTS else ""
        statement = _DELETE.format(table=fact.table, at=fact.at, person=fact.person, bound=bound)
        rows = connection.execute(statement, limit.values).rowcount
        connection.execute(_NOTE, {"table": fact.table, **limit.values, "rows": rows})
    failpoint("retention_told")
    return rows


def _is_leaving(connection: Blocking, fact: Fact, limit: Limit) -> bool:
    """Whether ClickHouse still holds rows of which the batches were told already: they must not be told again."""
    query = "select 1 from retention_removals where table_name = %s and school_id = %s and state = 'leaving'"
    return connection.execute(query, (fact.table, limit.school_id)).fetchone() is not None


def _is_done(connection: Blocking, fact: Fact, limit: Limit) -> bool:
    """Whether the record was searched for these rows before: no index finds them by school."""
    before = connection.execute(_DONE, (fact.table, limit.school_id)).fetchall()[0]["before"]
    return before is not None and before >= limit.before
