"""Dimensions to ClickHouse: which rows have changed → the rows as they are now → ReplacingMergeTree.

Every write of a dimension is noted in `row_changes` by trigger. A row's `version` grows under the row's own lock,
so the newest one wins whatever the order of commits; neither a transaction number nor a clock would give that.
Sending a row early or twice is harmless, so no manifest is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

from ingestion.batches import advance, exhaust, read_progress
from ingestion.facts import put
from ingestion.failpoints import failpoint
from ingestion.pipelines import DIMENSIONS, changes_query, window_parameters
from ingestion.term import Term
from ingestion.windows import Key

_UTC = "{0} at time zone 'UTC'"
# ClickHouse reads an array as ['a','it''s']; COPY has escaped the rest the way ClickHouse wants it.
_QUOTED = "'''' || replace(item, '''', '''''') || ''''"
_ARRAY = "(select '[' || coalesce(string_agg(" + _QUOTED + ", ','), '') || ']' from unnest({0}) item)"

_TABLES = {
    "schools": "id name time_zone external_id attrs created_at shared",
    "users": "id school_id role name external_id attrs created_at shared",
    "classrooms": "id school_id teacher_id name subject external_id created_at",
    "enrolments": "id school_id classroom_id user_id role valid_from valid_to",
    "quizzes": "id school_id classroom_id title subject created_by quiz_version external_id created_at deleted_at",
    "questions": "id school_id title qtype options answer_key max_score skills external_id created_at",
    "quiz_questions": "id quiz_id quiz_version position question_id",
    "quiz_sessions": "id school_id classroom_id quiz_id quiz_version mode opened_at started_at ended_at",
    "quiz_results": "id school_id classroom_id session_id quiz_id student_id attempt_number score max_score "
    "submitted_at",
}
ENTITIES = tuple(_TABLES)
# Whether the network's analysts may see the rows of a school, of a person (migrations/versions/0003_privacy.sql).
_SHARED = {
    "schools": "share_with_network and consent_basis <> 'none'",
    "users": "shared_with_network(school_id, consent)",
}
# ClickHouse's own log of blocks would drop a row that changes back to what it was.
_INSERT = {"async_insert": 0, "insert_deduplicate": 0, "input_format_tsv_detect_header": 0}


def load_dimensions(term: Term) -> int:
    """Bring every change up to now to ClickHouse; returns how many rows were sent."""
    total = 0
    while not term.stopping.is_set():
        progress = read_progress(term.connection, DIMENSIONS)
        if progress.done.xmax == 1:
            total += sum(_load_all(term, entity) for entity in ENTITIES)
            exhaust(term.connection, progress)
            failpoint("moved_on")
            term.batches += 1
            continue
        parameters = window_parameters(progress.done, progress.target, progress.key, term.batch_rows)
        changes = term.connection.execute(changes_query(), parameters).fetchall()
        if not changes:
            if progress.open:
                exhaust(term.connection, progress)
            break
        failpoint("changed")
        for change in changes:
            total += _send(term, change["entity"], change["keys"], change["deleted"] or {})
        failpoint("shown")
        term.batches += 1
        if changes[0]["rows"] < term.batch_rows:
            exhaust(term.connection, progress)
            failpoint("moved_on")
            break
        xid, seq = changes[0]["hi"]
        advance(term.connection, progress, Key(int(xid), int(seq)))
        failpoint("moved_on")
    return total


def copy_all(term: Term, entity: str) -> int:
    """The whole table into a twin that takes its place at once: versions of before do not matter any more."""
    twin = f"{entity}_twin"
    _command(term, f"DROP TABLE IF EXISTS {twin}")
    _command(term, f"CREATE TABLE {twin} AS {entity}")
    total = _load_all(term, entity, twin)
    _command(term, f"EXCHANGE TABLES {twin} AND {entity}")
    _command(term, f"DROP TABLE {twin}")
    return total


def _load_all(term: Term, entity: str, table: str | None = None) -> int:
    """The whole table, for a ClickHouse that has none of it; its older tombstones are nobody's business."""
    last, total = 0, 0
    while lines := _copy(term, entity, "id > %(last)s order by id limit %(limit)s", last=last, limit=term.batch_rows):
        put(term.warehouse, table or entity, _names(entity), lines, _INSERT)
        last, total = int(lines[-1].split(b"\t", 1)[0]), total + len(lines)
    failpoint("whole")
    return total


def _send(term: Term, entity: str, keys: list[int], deleted: Mapping[str, int]) -> int:
    lines = _copy(term, entity, "id = any(%(keys)s)", keys=keys)
    if lines:
        put(term.warehouse, entity, _names(entity), lines, _INSERT)
    alive = {line.split(b"\t", 1)[0].decode() for line in lines}
    graves = [f"{key}\t{version}\t1\n".encode() for key, version in deleted.items() if key not in alive]
    if graves:
        put(term.warehouse, entity, ["id", "version", "is_deleted"], graves, _INSERT)
    return len(lines) + len(graves)


def _copy(term: Term, entity: str, where: str, **parameters: object) -> list[bytes]:
    values = ", ".join(_expression(entity, name) for name in _TABLES[entity].split())
    statement = f"copy (select {values}, version, 0 from {entity} where {where}) to stdout"
    with term.connection.cursor().copy(statement, parameters) as rows:
        return [bytes(line) for line in rows]


def _expression(entity: str, name: str) -> str:
    if name == "shared":
        return _SHARED[entity]
    if name.endswith("_at") or name.startswith("valid_"):
        return _UTC.format(name)
    return _ARRAY.format(name) if name == "skills" else name


def _names(entity: str) -> list[str]:
    return [*_TABLES[entity].split(), "version", "is_deleted"]


def _command(term: Term, command: str) -> None:
    term.warehouse.call(lambda client: client.command(command))
