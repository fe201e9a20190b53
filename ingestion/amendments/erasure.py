"""A person leaves: the record, ClickHouse, the archive; and the certificate of it.

The account was closed when the erasure was asked; what he had under way then comes in late and goes likewise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from core.clock import now
from core.errors import Conflict
from core.ids import new_id
from core.warehouse import Warehouse
from ingestion.amendments import warehouse as store
from ingestion.amendments.holds import holding
from ingestion.amendments.manifest import find_batches, subtract
from ingestion.amendments.places import FACTS, FORMER, RECORD, REMAINS, WAREHOUSE
from ingestion.amendments.queue import Amendment, finish, has_settled, move
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint
from ingestion.pipelines import FACTS as PIPELINES
from ingestion.term import Term

Archive: TypeAlias = Callable[[Term, int], int]
ARCHIVES: list[Archive] = []
"""Each takes a person out of files beside the stores and returns how many rows went; it may be repeated."""
_KEYS = {pipeline.name: pipeline.key for pipeline in PIPELINES}
_PERSON = "select id, school_id, role, email, created_at from users where id = %s"
_MARK = """
insert into erased_people (user_id, created_at, school_id) values (%(user)s, %(created_at)s, %(school)s)
on conflict do nothing
"""
_AUDIT = """
insert into audit_log (audit_id, school_id, actor_id, actor_role, action, target, subjects, details, occurred_at)
values (%(id)s, %(school)s, %(by)s, %(role)s, 'erasure.done', %(target)s, array[%(user)s::bigint], %(details)s::jsonb,
        %(at)s)
"""


def leave_record(term: Term, amendment: Amendment) -> None:
    """Take the person out of the record, the manifest with him, in one transaction."""
    user, connection = amendment.subject, term.connection
    known = {table: _batches_in_warehouse(term, table, column, user) for table, column in FACTS.items()}
    before = amendment.work.get("warehouse") or count_warehouse(term.warehouse, user)
    with connection.transaction():
        if amendment.state in ("waiting", "held") and _must_wait(connection, amendment):
            return
        person = connection.execute(_PERSON + " for update", (user,)).fetchone()
        values = {"user": user, "school": amendment.school_id, "email": person["email"] if person else None}
        gone = {table: _delete_facts(connection, table, column, user, known[table]) for table, column in FACTS.items()}
        counts = {table: found for table, (found, _) in gone.items()}
        batches = sum(touched for _, touched in gone.values())
        counts |= {place.name: connection.execute(place.remedy, values).rowcount for place in RECORD}
        if person:
            connection.execute(_MARK, values | {"created_at": person["created_at"]})
        created_at = person["created_at"] if person else None
        work = _merged(amendment.work, counts, batches, before, created_at)
        late = amendment.state == "settling" and not sum(counts.values())
        move(connection, amendment, "settling" if late else "sending", work)
        failpoint("erasing")
    failpoint("erased")


def leave_warehouse(term: Term, amendment: Amendment) -> None:
    """Take the person out of ClickHouse and the archive, and keep his number in the list there."""
    for table, column in WAREHOUSE:
        condition, values = _his(column, amendment.subject)
        if store.count(term.warehouse, table, condition, values):
            store.delete(term.warehouse, table, condition, values)
            term.batches += 1
        failpoint("sent")
    _note(term, amendment)
    archived = sum(archive(term, amendment.subject) for archive in ARCHIVES)
    failpoint("archived")
    work = {**amendment.work, "archive": amendment.work.get("archive", 0) + archived}
    move(term.connection, amendment, "settling", work)


def settle(term: Term, amendment: Amendment) -> None:
    """What came in late goes too; when there is nothing more, and the bytes are rewritten, it is done."""
    tables = [table for table, _ in (*WAREHOUSE, *FORMER)]
    if not has_settled(term.connection, amendment) or not store.are_written(term.warehouse, tables):
        return
    leave_record(term, amendment)
    late = term.connection.execute("select state, work from amendments where id = %s", (amendment.id,)).fetchall()[0]
    if late["state"] != "settling":
        return
    _forget_former(term, amendment.subject)
    for table, column in WAREHOUSE:
        condition, values = _his(column, amendment.subject)
        if store.count(term.warehouse, table, condition, values):
            store.delete(term.warehouse, table, condition, values)
            term.batches += 1
    if store.are_written(term.warehouse, tables) and not _named(term, amendment):
        _certify(term, amendment, late["work"])


def count_record(connection: Blocking, user: int) -> dict[str, int]:
    """How many rows of the record know the person, by place."""
    person = connection.execute(_PERSON, (user,)).fetchone() or {"school_id": None, "email": None}
    values = {"user": user, "school": person["school_id"], "email": person["email"]}
    counts = {}
    for table, column in FACTS.items():
        row = connection.execute(f"select count(*) as n from {table} where {column} = %(user)s", values).fetchall()[0]
        counts[table] = row["n"]
    return counts | {place.name: connection.execute(place.count, values).fetchall()[0]["n"] for place in RECORD}


def count_warehouse(warehouse: Warehouse, user: int) -> dict[str, int]:
    """How many rows of ClickHouse know the person, by table."""
    return {table: store.count(warehouse, table, *_his(column, user)) for table, column in WAREHOUSE}


def digest(result: dict[str, Any]) -> bytes:
    """The hash of a certificate: SHA-256 of its JSON with sorted keys."""
    return hashlib.sha256(orjson.dumps(result, option=orjson.OPT_SORT_KEYS)).digest()


def _his(column: str, user: int) -> tuple[str, dict[str, Any]]:
    return f"{column} = {{user:Int64}}", {"user": user}


def _batches_in_warehouse(term: Term, table: str, column: str, user: int) -> dict[UUID, int]:
    """The batch of each of his rows in ClickHouse, whose numbers are those of the manifest."""
    query = f"SELECT {_KEYS[table]}, batch FROM {table} WHERE {column} = {{user:Int64}}"
    return {UUID(str(row[0])): int(row[1]) for row in store.rows(term.warehouse, query, {"user": user})}


def _must_wait(connection: Blocking, amendment: Amendment) -> bool:
    """Whether a hold stands; the amendment's state says so."""
    held = bool(holding(connection, amendment.subject, amendment.school_id))
    if held and amendment.state == "waiting":
        move(connection, amendment, "held")
    return held


def _delete_facts(connection: Blocking, table: str, column: str, user: int, known: dict[UUID, int]) -> tuple[int, int]:
    """Delete his rows of a log, and take them and what only ClickHouse has of him out of their batches."""
    gone = connection.execute(
        f"delete from {table} where {column} = %s returning {_KEYS[table]} as id, xid::text, seq", (user,)
    ).fetchall()
    rows = [(row["id"], row["xid"], row["seq"]) for row in gone]
    return len(rows), subtract(connection, table, find_batches(connection, table, rows, known))


def _merged(
    work: dict[str, Any], counts: dict[str, int], batches: int, before: dict[str, int], created_at: datetime | None
) -> dict[str, Any]:
    old = work.get("record", {})
    return {
        "record": {name: old.get(name, 0) + number for name, number in counts.items()},
        "batches": work.get("batches", 0) + batches,
        "warehouse": before,
        "archive": work.get("archive", 0),
        "created_at": work.get("created_at") or (created_at and created_at.isoformat()),
    }


def _note(term: Term, amendment: Amendment) -> None:
    if created_at := amendment.work.get("created_at"):
        row = [amendment.subject, datetime.fromisoformat(created_at), amendment.school_id, now()]
        columns = ["user_id", "created_at", "school_id", "erased_at"]
        term.warehouse.call(
            lambda client: client.insert("erasures", [row], column_names=columns, settings={"async_insert": 0})
        )


def _forget_former(term: Term, user: int) -> None:
    """Former versions of what he made, once the newest one does not name him."""
    for table, column in FORMER:
        condition, values = _his(column, user)
        named = store.count(term.warehouse, table, condition, values)
        if named and not store.count(term.warehouse, table, condition, values, final=True):
            store.delete(term.warehouse, table, condition, values)


def _named(term: Term, amendment: Amendment) -> bool:
    places = (*WAREHOUSE, *FORMER)
    return any(store.count(term.warehouse, table, *_his(column, amendment.subject)) for table, column in places)


def _certify(term: Term, amendment: Amendment, work: dict[str, Any]) -> None:
    at, connection = now(), term.connection
    after = count_record(connection, amendment.subject)
    if sum(after.values()):
        raise Conflict("The person is still in the record.", amendment=amendment.id)
    result = {
        "amendment": amendment.id,
        "person": amendment.subject,
        "school": amendment.school_id,
        "asked_by": amendment.asked_by,
        "asked_role": amendment.asked_role,
        "asked_at": amendment.asked_at.isoformat(),
        "finished_at": at.isoformat(),
        "record": _sides(work["record"], after),
        "warehouse": _sides(work["warehouse"], count_warehouse(term.warehouse, amendment.subject)),
        "archive": {"before": work["archive"], "after": 0},
        "batches_mended": work["batches"],
        "remains": list(REMAINS),
    }
    seal = digest(result)
    with connection.transaction():
        finish(connection, amendment, result, seal, at)
        details = orjson.dumps({"amendment": amendment.id, "hash": seal.hex()}).decode()
        target = f"amendment={amendment.id}"
        told = {"school": amendment.school_id, "by": amendment.asked_by, "role": amendment.asked_role, "at": at}
        line = {"id": new_id(), "user": amendment.subject, "details": details, "target": target}
        connection.execute(_AUDIT, told | line)
    failpoint("certified")


def _sides(before: dict[str, int], after: dict[str, int]) -> dict[str, dict[str, int]]:
    return {name: {"before": number, "after": after.get(name, 0)} for name, number in before.items()}
