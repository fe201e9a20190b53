"""Rows that may change: staged, then inserted where new and updated where different, in one transaction a chunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from ingestion.importers.references import References
from ingestion.importers.rejects import Rejects
from ingestion.importers.report import TableReport
from ingestion.importers.rules import BadRow, derive
from ingestion.importers.seen import SeenIds
from ingestion.importers.source import Chunk, Record
from ingestion.importers.tables import Column, Table

_JOIN = "join import_ids m on m.source = %(source)s and m.entity = %(entity)s and m.source_id = s.source_id"
_NEW_IDS = """
insert into import_ids (source, entity, source_id, id)
select %(source)s, %(entity)s, s.source_id, nextval(pg_get_serial_sequence('{target}', 'id'))
from {stage} s where not s.again and not exists
    (select from import_ids m where m.source = %(source)s and m.entity = %(entity)s and m.source_id = s.source_id)
on conflict do nothing
"""
_UPDATE = """
update {target} t set ({columns}) = row({staged})
from {stage} s {join} where t.id = m.id and not s.again and ({current}) is distinct from ({staged})
"""
_INSERT = """
insert into {target} (id, {all_columns})
select m.id, {all_staged} from {stage} s {join}
where not s.again and not exists (select from {target} t where t.id = m.id)
order by s.line
"""
_CONTRADICTING = """
select s.line, s.source_id from {stage} s {join} join {target} t on t.id = m.id
where s.again and ({current}) is distinct from ({staged})
"""


class DimensionLoader:
    """Loads one table of a source over a connection in autocommit mode. `present`: the columns that the source has."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        table: Table,
        present: frozenset[str],
        references: References,
        rejects: Rejects,
    ) -> None:
        self._connection, self._table = connection, table
        self._references, self._rejects = references, rejects
        self._stored = [column for column in table.columns if column.target and column.name in present]
        self._stage = f"staged_{table.name}"
        self._names = {"source": references.source, "entity": table.name}
        types = [(column.target, column.sql_type) for column in self._stored]
        self._columns = [*types, *table.derived]
        columns = "".join(f", {name} {kind}" for name, kind in self._columns)
        connection.execute(
            f"create temp table {self._stage} (line int, again boolean, source_id text{columns}) on commit delete rows"
        )

    def load(self, chunk: Chunk, seen: SeenIds | None, report: TableReport) -> None:
        """Bring a chunk in and count what became of it."""
        rows = self._staged(chunk, seen)
        report.rejected += len(chunk.rows) - len(rows)
        self._write(chunk.file, rows, report)

    def _staged(self, chunk: Chunk, seen: SeenIds | None) -> list[Record]:
        found = {
            column.name: self._references.find(column.refers, [row[place] for row in chunk.rows])
            for place, column in enumerate(self._table.columns)
            if column.refers
        }
        rows = []
        for line, row in zip(chunk.lines, chunk.rows, strict=True):
            cells = {column.name: value for column, value in zip(self._table.columns, row, strict=True)}
            source_id = "\x1f".join(str(cells[name]) for name in self._table.key)
            try:
                values = _resolved(self._table, cells, found)
                derived = derive(self._table, values)
            except BadRow as error:
                self._rejects.add(chunk.file, line, error.column, cells[error.column], str(error))
                continue
            again = seen.add(source_id) if seen else False
            rows.append((line, again, source_id, *(_stored(each, values) for each in self._stored), *derived))
        return rows

    def _write(self, file: str, rows: list[Record], report: TableReport) -> None:
        """One transaction; a row that the database refuses is found by halving."""
        try:
            with self._connection.transaction():
                self._apply(file, rows, report)
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            if len(rows) == 1:
                report.rejected += 1
                self._rejects.add(file, rows[0][0], self._table.key[0], rows[0][2], reason_of(error))
            else:
                self._write(file, rows[: len(rows) // 2], report)
                self._write(file, rows[len(rows) // 2 :], report)

    def _apply(self, file: str, rows: list[Record], report: TableReport) -> None:
        with self._connection.cursor() as cursor:
            with cursor.copy(f"copy {self._stage} from stdin") as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(self._sql(_NEW_IDS), self._names)
            updated = cursor.execute(self._sql(_UPDATE), self._names).rowcount
            inserted = cursor.execute(self._sql(_INSERT), self._names).rowcount
            contradicting = cursor.execute(self._sql(_CONTRADICTING), self._names).fetchall()
        report.updated += updated
        report.inserted += inserted
        report.rejected += len(contradicting)
        for row in contradicting:
            reason = "comes again with another content; the first row holds"
            self._rejects.add(file, row["line"], self._table.key[0], row["source_id"], reason)

    def _sql(self, template: str) -> str:
        every = [name for name, _ in self._columns]
        free = [name for name in every if name not in self._table.fixed]
        return template.format(
            target=self._table.target,
            stage=self._stage,
            join=_JOIN,
            columns=", ".join(free),
            current=", ".join(f"t.{name}" for name in free),
            staged=", ".join(f"s.{name}" for name in free),
            all_columns=", ".join(every),
            all_staged=", ".join(f"s.{name}" for name in every),
        )


def _resolved(
    table: Table, cells: Mapping[str, Any], found: Mapping[str, Mapping[str, tuple[Any, ...]]]
) -> dict[str, Any]:
    """The cells, each reference replaced by the row that it means."""
    values = dict(cells)
    for column in table.columns:
        if column.refers and (key := cells[column.name]) is not None:
            values[column.name] = found[column.name].get(key)
            if values[column.name] is None:
                raise BadRow(column.name, f"is not among the {column.refers}")
    return values


def _stored(column: Column, values: Mapping[str, Any]) -> Any:
    value = values[column.name]
    if column.refers:
        return value and value[0]
    return list(value) if column.kind == "texts" else value


def reason_of(error: psycopg.Error) -> str:
    """The database's own words, on one line."""
    detail = error.diag.message_detail
    return f"{error.diag.message_primary}" + (f": {detail}" if detail else "")
