"""The source's ids → the record's rows, looked up by the chunk and remembered in bounded room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import tuple_row

_ROOM = 200_000
_ROWS = {
    "schools": "select m.source_id, t.id, t.id from import_ids m join schools t on t.id = m.id",
    "users": "select m.source_id, t.id, t.school_id from import_ids m join users t on t.id = m.id",
    "classrooms": "select m.source_id, t.id, t.school_id from import_ids m join classrooms t on t.id = m.id",
    "quizzes": "select m.source_id, t.id from import_ids m join quizzes t on t.id = m.id",
    "questions": "select m.source_id, t.id, t.max_score from import_ids m join questions t on t.id = m.id",
    "sessions": "select m.source_id, t.id, t.school_id, t.classroom_id, t.quiz_id, t.quiz_version, t.opened_at "
    "from import_ids m join quiz_sessions t on t.id = m.id",
}
_WHERE = " where m.source = %(source)s and m.entity = %(entity)s and m.source_id = any(%(ids)s)"


class References:
    """For each table, source id → (id, …) of the rows that the record has under this source's namespace."""

    def __init__(self, connection: psycopg.Connection[Any], source: str) -> None:
        self._connection = connection
        self.source = source
        self._known: dict[str, dict[str, tuple[Any, ...]]] = {entity: {} for entity in _ROWS}

    def find(self, entity: str, keys: Iterable[str | None]) -> dict[str, tuple[Any, ...]]:
        """The rows of at least these keys; a key that the record does not know is left out."""
        known = self._known[entity]
        wanted = {key for key in keys if key is not None}
        missing = [key for key in wanted if key not in known]
        if missing:
            if len(known) + len(missing) > _ROOM:
                known.clear()
                missing = list(wanted)
            known.update(self._fetch(entity, missing))
        return known

    def forget(self) -> None:
        """Forget all rows, because a table that they come from has changed."""
        for known in self._known.values():
            known.clear()

    def _fetch(self, entity: str, keys: list[str]) -> dict[str, tuple[Any, ...]]:
        parameters = {"source": self.source, "entity": entity, "ids": keys}
        with self._connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(_ROWS[entity] + _WHERE, parameters)
            return {row[0]: row[1:] for row in cursor}
