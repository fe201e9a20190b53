"""A person's rows in the files, for whoever gives out all that is kept about him.

They are put beside the record's for the length of a connection: temporary views of the tables' own names, so that the
same queries find both. Files are read by Arrow, which skips what is not his; no ClickHouse is needed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
from psycopg.rows import DictRow

from core.errors import NotFound
from ingestion.archive.layout import ARCHIVED, Fact
from ingestion.archive.manifest import File, find_files
from ingestion.archive.store import Store

_AWAY = """
school_id = (select school_id from users where id = %(user)s) and table_name = %(table)s and exists (
    select from archive_months m where m.table_name = archive_files.table_name and m.month = archive_files.month
    and m.state in ('dropping', 'archived'))
"""


def shadow(connection: psycopg.Connection[DictRow], store: Store, user_id: int) -> int:
    """Let this connection see the person's archived rows, too; how many. Raises `Damaged`, `Unavailable`."""
    schema = connection.execute("select quote_ident(current_schema()) as name").fetchall()[0]["name"]
    count = 0
    for fact in ARCHIVED.values():
        table = fact.table
        connection.execute(f"create temp table archived_{table} (like {schema}.{table})")
        for row in _rows(connection, store, fact, user_id):
            connection.execute(
                f"insert into archived_{table} select * from jsonb_populate_record(null::{schema}.{table}, %s::jsonb)",
                (row.decode(),),
            )
            count += 1
        connection.execute(
            f"create temp view {table} as select * from {schema}.{table} union all select * from archived_{table}"
        )
    connection.commit()
    return count


def _rows(connection: psycopg.Connection[DictRow], store: Store, fact: Fact, user_id: int) -> Iterator[bytes]:
    """The person's rows as JSON objects."""
    for file in _files(connection, fact, user_id):
        try:
            content = file.content(store)
        except NotFound:  # it was written anew since we looked
            (file,) = find_files(
                connection,
                "table_name = %s and month = %s and school_id = %s and part = %s",
                (fact.table, file.month.start.date(), file.school_id, file.part),
            )
            content = file.content(store)
        yield from _of_person(file, content, user_id)


def _files(connection: psycopg.Connection[DictRow], fact: Fact, user_id: int) -> list[File]:
    return find_files(connection, _AWAY, {"user": user_id, "table": fact.table})


def _of_person(file: File, content: bytes, user_id: int) -> Iterator[bytes]:
    from pyarrow import parquet

    documents = {column.name for column in file.layout.columns if column.type == "jsonb"}
    table = parquet.read_table(io.BytesIO(content), filters=[(file.month.fact.person, "=", user_id)])
    for row in table.to_pylist():
        yield orjson.dumps({name: _value(value, name in documents) for name, value in row.items()}, default=str)


def _value(value: Any, is_document: bool) -> Any:
    return orjson.Fragment(value) if is_document and value is not None else value
