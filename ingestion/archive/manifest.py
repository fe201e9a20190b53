"""The months and their files, as the record knows them: `archive_months`, `archive_files`, `archive_garbage`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from core.clock import epoch_ms
from core.errors import BadInput, Conflict, Unavailable
from ingestion.archive.layout import ARCHIVED, Fact, Layout
from ingestion.archive.scratch import Sums, total
from ingestion.archive.store import Store
from ingestion.batches import Blocking, Damaged
from ingestion.partitions import next_month

LOCK = 7_310_603
_FILES = """
select id, table_name, month, school_id, part, path, rows, fingerprint, digest, sha256, bytes, columns, first_at,
       last_at, cluster
from archive_files where {where} order by table_name, month, school_id, part
"""
_PUT = """
insert into archive_files (table_name, month, school_id, part, path, rows, fingerprint, digest, sha256, bytes, columns,
                           first_at, last_at, cluster)
values (%(table_name)s, %(month)s, %(school_id)s, %(part)s, %(path)s, %(rows)s, %(fingerprint)s, %(digest)s, %(sha256)s,
        %(bytes)s, %(columns)s, %(first_at)s, %(last_at)s, (select system_identifier::text from pg_control_system()))
"""
_THROW = """
with gone as (delete from archive_files where id = any(%s) returning path)
insert into archive_garbage (path) select path from gone on conflict do nothing
"""


class Busy(Conflict):
    """Another process works on the archive."""

    code = "archive_busy"


@dataclass(frozen=True, slots=True)
class Month:
    """A month of one table; a range of ids, and a partition while it is in the record."""

    fact: Fact
    start: datetime

    @classmethod
    def of(cls, table: str, day: date) -> Month:
        """The month in which a day (UTC) lies."""
        return cls(ARCHIVED[table], datetime(day.year, day.month, 1, tzinfo=UTC))

    @property
    def stop(self) -> datetime:
        """The first instant after it."""
        return next_month(self.start)

    @property
    def partition(self) -> str:
        """The name of its partition."""
        return f"{self.fact.table}_{self.start:%Y_%m}"

    @property
    def key(self) -> dict[str, Any]:
        """Its row in `archive_months`."""
        return {"table": self.fact.table, "month": self.start.date()}

    @property
    def bounds(self) -> dict[str, int]:
        """The values of `layout.within`."""
        return {"start": epoch_ms(self.start), "stop": epoch_ms(self.stop)}

    def __str__(self) -> str:
        return f"{self.fact.table} {self.start:%Y-%m}"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the manifest: the rows of a school in a month."""

    id: int
    month: Month
    school_id: int
    part: int
    path: str
    sums: Sums
    sha256: str
    size: int
    layout: Layout
    cluster: str

    def content(self, store: Store) -> bytes:
        """What the store holds, if it is what was written. Raises `Damaged` with the file's name, `Unavailable`."""
        content = store.read(self.path)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise Damaged(
                f"The archive's file {self.path} is not what was written ({len(content)} of {self.size} bytes).",
                hint="Bring it back from a backup of the archive.",
                path=self.path,
            )
        return content


@contextmanager
def office(url: str) -> Iterator[Blocking]:
    """A connection that holds the archive's lock: one worker at a time. Raises `Busy`."""
    options = "-c timezone=UTC -c lock_timeout=10s"
    with psycopg.connect(url, autocommit=True, row_factory=dict_row, options=options) as connection:
        row = connection.execute("select pg_try_advisory_lock(%s) as got", (LOCK,)).fetchone()
        if not (row and row["got"]):
            raise Busy(hint="Try again when it has ended: `eduanalytics archive list` shows what is under way.")
        yield connection


def month_state(connection: Blocking, month: Month) -> dict[str, Any] | None:
    """Its row in `archive_months`; None while it has never been archived."""
    query = "select * from archive_months where table_name = %(table)s and month = %(month)s"
    return connection.execute(query, month.key).fetchone()


def set_month(connection: Blocking, month: Month, **values: Any) -> None:
    """Change (or make) its row."""
    names = list(values)
    connection.execute(
        f"""insert into archive_months (table_name, month, {", ".join(names)})
            values (%(table)s, %(month)s, {", ".join(f"%({name})s" for name in names)})
            on conflict (table_name, month) do update
            set changed_at = clock_timestamp(), {", ".join(f"{name} = excluded.{name}" for name in names)}""",
        {**month.key, **values},
    )


def files_of(connection: Blocking, month: Month) -> list[File]:
    """The files that hold a month."""
    return find_files(connection, "table_name = %(table)s and month = %(month)s", month.key)


def find_files(connection: Blocking, where: str, parameters: Any = None) -> list[File]:
    """Files of the manifest."""
    return [_file(row) for row in connection.execute(_FILES.format(where=where), parameters)]


def school_sums(files: Iterable[File]) -> dict[int, Sums]:
    """The sums of each school, over its parts."""
    schools: dict[int, list[Sums]] = {}
    for file in files:
        schools.setdefault(file.school_id, []).append(file.sums)
    return {school: total(sums) for school, sums in schools.items()}


def put_file(
    connection: Blocking, layout: Layout, month: Month, school_id: int, part: int, path: str, content: bytes, sums: Sums
) -> None:
    """A file that was written and read back: it takes the place of the one that was there."""
    with connection.transaction():
        row = connection.execute(
            "select id from archive_files where table_name = %(table)s and month = %(month)s and school_id = %(school)s"
            " and part = %(part)s for update",
            {**month.key, "school": school_id, "part": part},
        ).fetchone()
        if row:
            throw_away(connection, [row["id"]])
        connection.execute("delete from archive_garbage where path = %s", (path,))
        connection.execute(
            _PUT,
            {
                "table_name": month.fact.table,
                "month": month.start.date(),
                "school_id": school_id,
                "part": part,
                "path": path,
                "rows": sums.rows,
                "fingerprint": sums.fingerprint,
                "digest": sums.digest,
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "columns": Jsonb(layout.as_json()),
                "first_at": sums.first_at,
                "last_at": sums.last_at,
            },
        )


def throw_away(connection: Blocking, ids: Sequence[int]) -> None:
    """Give files up; the store still has them until the garbage is swept."""
    connection.execute(_THROW, (list(ids),))


def sweep(connection: Blocking, store: Store) -> int:
    """Delete the files that were given up; how many. What the store does not delete now waits for the next time."""
    paths = [row["path"] for row in connection.execute("select path from archive_garbage order by since, path")]
    for number, path in enumerate(paths):
        try:
            store.delete(path)
        except Unavailable:
            return number
        connection.execute("delete from archive_garbage where path = %s", (path,))
    return len(paths)


def require_in_record(connection: Blocking, table: str, moments: Iterable[datetime]) -> None:
    """Raise `Conflict` when rows of these moments (of the ids' times) have left the record: they cannot be changed."""
    days = sorted({Month.of(table, moment.astimezone(UTC).date()).start.date() for moment in moments})
    query = """
        select month from archive_months
        where table_name = %s and month = any(%s::date[]) and state in ('dropping', 'archived') order by month
    """
    if gone := [f"{row['month']:%Y-%m}" for row in connection.execute(query, (table, days)).fetchall()]:
        raise Conflict(
            f"These months of {table} are in the archive: {', '.join(gone)}.",
            code="month_archived",
            hint=f"Restore them first: `eduanalytics archive restore {gone[0]} --into-postgres`.",
            months=gone,
        )


def parse_month(text: str) -> date:
    """`2025-01`; raises `BadInput`."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise BadInput(f"{text} is no month.", hint="Write it like 2025-01.") from None


def _file(row: Any) -> File:
    layout = Layout.from_json(row["table_name"], row["columns"])
    sums = Sums(row["rows"], int(row["fingerprint"]), int(row["digest"]), row["first_at"], row["last_at"])
    month = Month.of(row["table_name"], row["month"])
    place = (row["id"], month, row["school_id"], row["part"], row["path"])
    return File(*place, sums, row["sha256"], row["bytes"], layout, row["cluster"])
