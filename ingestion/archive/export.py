"""A month of the record → one Parquet file for each school, read back and compared. The month is closed first.

From here on the partition refuses new rows (erasure still takes some away). Files that a killed run left and that are
right are kept; the others are written anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from core.errors import Conflict, NotFound, Unavailable
from core.warehouse import Warehouse
from ingestion.archive.layout import Fact, Layout, read_layout
from ingestion.archive.manifest import File, Month, files_of, month_state, put_file, set_month, throw_away
from ingestion.archive.scratch import Scratch, Sums, scratch
from ingestion.archive.store import Store
from ingestion.batches import Blocking, Damaged
from ingestion.failpoints import failpoint

MOST_ROWS = 1_000_000
_ATTACHED = """
select i.inhdetachpending as pending from pg_inherits i join pg_class c on c.oid = i.inhrelid
where c.relname = %s and c.relnamespace = current_schema()::regnamespace
"""
_CLOSED = "select exists (select from pg_trigger where tgrelid = %s::regclass and tgname = 'archived') as closed"
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: files that are new, rows and bytes of all of them."""

    files: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one file; a school of many rows has several, a person's rows always in one."""

    school_id: int
    number: int
    of: int
    sums: Sums

    def where(self, fact: Fact) -> str:
        hashed = f"sipHash64(ifNull({fact.person}, 0))"
        return "school_id = {school:Int64}" + (f" AND {hashed} % {self.of} = {self.number}" if self.of > 1 else "")


def export(
    connection: Blocking, warehouse: Warehouse, store: Store, month: Month, tell: Tell | None = None
) -> Exported:
    """Write the month's files. Raises `NotFound`, `Conflict` (archived already), `Damaged`, `Unavailable`."""
    if attached(connection, month) is None:
        raise NotFound(f"The record has no month {month}.")
    state = month_state(connection, month)
    if state and state["state"] == "dropping":
        raise Conflict(f"{month} is being dropped already.", code="month_archived")
    set_month(connection, month, state="writing", problem=None)
    failpoint("archive_claimed")
    close(connection, month)
    failpoint("archive_closed")
    layout = read_layout(connection, month.fact, month.partition)
    with scratch(warehouse, layout, "work", large=True) as work, scratch(warehouse, layout, "check") as check:
        schools = _copy(connection, month, work)
        written = _write(connection, store, month, (work, check), schools, tell)
    set_month(connection, month, state="written", keep_until=None)
    failpoint("archive_written")
    files = files_of(connection, month)
    return Exported(written, sum(file.sums.rows for file in files), sum(file.size for file in files))


def attached(connection: Blocking, month: Month) -> bool | None:
    """Whether its partition is attached; False while it is being detached, None when there is none."""
    row = connection.execute(_ATTACHED, (month.partition,)).fetchone()
    return None if row is None else not row["pending"]


def close(connection: Blocking, month: Month) -> None:
    """Let no new row into the month; waits for the transactions that write to it."""
    row = connection.execute(_CLOSED, (month.partition,)).fetchone()
    if row and row["closed"]:
        return
    try:
        connection.execute(
            f"create trigger archived before insert on {month.partition} "
            "for each row execute function refuse_archived()"
        )
    except psycopg.errors.LockNotAvailable as error:
        raise Unavailable(f"Somebody writes to {month}; it is tried again later.") from error


def reopen(connection: Blocking, month: Month) -> None:
    """Let rows in again."""
    connection.execute(f"drop trigger if exists archived on {month.partition}")


def record_sums(connection: Blocking, layout: Layout, table: str) -> dict[int, Sums]:
    """The sums of each school's rows in the record."""
    rows = connection.execute(layout.record_sums().format(table=table)).fetchall()
    return {
        row["school_id"]: Sums(
            row["rows"], _unsigned(row["fingerprint"]), _unsigned(row["digest"]), row["first_at"], row["last_at"]
        )
        for row in rows
    }


def new_path(connection: Blocking, month: Month, school_id: int, part: int) -> str:
    """A name that no file ever had; until the manifest knows it, it counts as garbage."""
    path = f"{month.fact.table}/{month.start:%Y-%m}/{school_id}-{part}-{secrets.token_hex(4)}.parquet"
    connection.execute("insert into archive_garbage (path) values (%s)", (path,))
    return path


def write_checked(store: Store, check: Scratch, path: str, content: bytes, expected: Sums) -> None:
    """Write a file, read it back from the store, and compare every value of it. Raises `Damaged`."""
    store.write(path, content)
    failpoint("archive_file_written")
    check.empty()
    check.take(path, store.read(path))
    found = list(check.sums().values())
    if found != ([expected] if expected.rows else []):
        raise Damaged(f"The file {path} does not give back the rows that were written.", path=path)


def _copy(connection: Blocking, month: Month, work: Scratch) -> dict[int, Sums]:
    """The month's rows into the scratch table, compared; the sums of each school."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        schools = record_sums(connection, work.layout, month.partition)
        with connection.cursor().copy(work.layout.copy_out(month.partition)) as lines:
            work.fill(lines)
    if work.sums() != schools:
        raise Damaged(f"ClickHouse does not read the rows of {month} as they are in the record.")
    return schools


def _write(
    connection: Blocking,
    store: Store,
    month: Month,
    tables: tuple[Scratch, Scratch],
    schools: dict[int, Sums],
    tell: Tell | None,
) -> int:
    work, check = tables
    known = {(file.school_id, file.part): file for file in files_of(connection, month)}
    written, done, rows = 0, 0, sum(sums.rows for sums in schools.values())
    for part in _parts(work, schools):
        file = known.pop((part.school_id, part.number), None)
        if file is None or not _is_good(file, part, work.layout, store):
            content = work.parquet(part.where(month.fact), {"school": part.school_id})
            path = new_path(connection, month, part.school_id, part.number)
            write_checked(store, check, path, content, part.sums)
            put_file(connection, work.layout, month, part.school_id, part.number, path, content, part.sums)
            failpoint("archive_file_noted")
            written += 1
        done += part.sums.rows
        if tell:
            tell(done, rows, str(month))
    throw_away(connection, [file.id for file in known.values()])
    return written


def _parts(work: Scratch, schools: dict[int, Sums]) -> Iterator[_Part]:
    for school_id, sums in sorted(schools.items()):
        parts = -(-sums.rows // MOST_ROWS)
        if parts == 1:
            yield _Part(school_id, 0, 1, sums)
            continue
        for number in range(parts):
            part = _Part(school_id, number, parts, Sums())
            found = work.sums(part.where(work.layout.fact), {"school": school_id})
            if found:
                yield _Part(school_id, number, parts, found[school_id])


def _is_good(file: File, part: _Part, layout: Layout, store: Store) -> bool:
    """Whether a file of an earlier run holds just these rows."""
    if file.sums != part.sums or file.layout != layout:
        return False
    try:
        file.content(store)
    except (Damaged, NotFound):
        return False
    return True


def _unsigned(value: Any) -> int:
    return int(value) & 0xFFFF_FFFF_FFFF_FFFF
