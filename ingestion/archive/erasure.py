"""A person leaves the files: those of his school that hold rows of his are written anew without them.

The manifest is told file by file, each in a transaction: a kill in between leaves files with him and files without him,
and the next call goes on. The old files are deleted from the store before the call returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.export import new_path, write_checked
from ingestion.archive.manifest import File, find_files, office, put_file, sweep, throw_away
from ingestion.archive.scratch import scratch, total
from ingestion.archive.store import Store, open_store
from ingestion.batches import Blocking
from ingestion.failpoints import failpoint
from ingestion.term import Term


def erase(
    connection: Blocking, warehouse: Warehouse, store: Store, user_id: int, school_id: int | None = None
) -> dict[str, int]:
    """Take a person's rows out of every file, or those of one school; how many rows of each table.

    The connection holds the archive's lock (`office`). Raises `Damaged` with the file that cannot be read.
    """
    files = find_files(connection, "%(school)s::bigint is null or school_id = %(school)s", {"school": school_id})
    gone: dict[str, int] = {}
    for file in files:
        person = f"ifNull({file.month.fact.person}, 0) = {{user:Int64}}"
        count = rewrite(connection, warehouse, store, file, person, {"user": user_id})
        gone[file.month.fact.table] = gone.get(file.month.fact.table, 0) + count
    sweep(connection, store)
    return gone


def rewrite(
    connection: Blocking, warehouse: Warehouse, store: Store, file: File, doomed: str, parameters: Mapping[str, Any]
) -> int:
    """Write a file anew without the rows under a condition; how many they were. A file without rows is given up."""
    layout = file.layout
    with scratch(warehouse, layout, "work") as work, scratch(warehouse, layout, "check") as check:
        work.take(file.path, file.content(store))
        leaving = total(work.sums(doomed, parameters).values())
        if not leaving.rows:
            return 0
        staying = total(work.sums(f"NOT ({doomed})", parameters).values())
        if not staying.rows:
            with connection.transaction():
                throw_away(connection, [file.id])
        else:
            content = work.parquet(f"NOT ({doomed})", parameters)
            path = new_path(connection, file.month, file.school_id, file.part)
            write_checked(store, check, path, content, staying)
            put_file(connection, layout, file.month, file.school_id, file.part, path, content, staying)
    failpoint("archive_rewritten")
    return leaving.rows


def eraser(url: str, settings: Settings) -> Callable[[Term, int], int]:
    """`erase` as an amendment calls it: nothing to do without an archive. Raises `Busy` while somebody works on it."""

    def call(term: Term, user_id: int) -> int:
        store = open_store(settings)
        if store is None:
            return 0
        with office(url) as connection:
            row = connection.execute("select school_id from users where id = %s", (user_id,)).fetchone()
            school_id = row["school_id"] if row else None
            return sum(erase(connection, term.warehouse, store, user_id, school_id).values())

    return call
