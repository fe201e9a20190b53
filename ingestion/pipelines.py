"""The logs that are read by windows: which table, which key, and what of it goes to ClickHouse.

Postgres' COPY text is ClickHouse's TabSeparated byte for byte, so rows pass through Python unread.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.windows import Key, Snapshot, between

# A time as ClickHouse's fast parser reads it: UTC without a zone.
_UTC = "{0} at time zone 'UTC'"

_ROWS = """
select {columns} from (
    (select {inner} from {table} where xid = any(%(late)s::text[]::xid8[]) and {after}
        order by xid, seq limit %(limit)s)
    union all
    (select {inner} from {table} where xid >= %(start)s::text::xid8 and xid < %(stop)s::text::xid8
        and xid <> all(%(hidden)s::text[]::xid8[]) and {after} order by xid, seq limit %(limit)s)
) fresh {order}
"""
_AFTER = "(xid, seq) > (%(xid)s::text::xid8, %(seq)s) and seq > %(floor)s"
_REST = " and {key} <> all(%(refused)s::uuid[])"
_UP_TO = " and (xid, seq) <= (%(hi_xid)s::text::xid8, %(hi_seq)s)"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A log of the record and its table in ClickHouse (same name); `columns` pairs a name with its expression.

    `patience`: so many seconds its rows may wait for others, which saves parts; they do not make kept answers stale.
    `time`: the column by whose month ClickHouse's table is partitioned.
    """

    name: str
    key: str
    time: str
    columns: tuple[tuple[str, str], ...]
    patience: float = 0

    @property
    def names(self) -> list[str]:
        """The columns in ClickHouse, the batch last."""
        return [name for name, _ in self.columns] + ["batch"]

    def bounds_query(self) -> str:
        """Number, fingerprint and last place of the next rows (at most `limit`)."""
        low = f"('x' || encode(substr(uuid_send({self.key}), 9), 'hex'))::bit(64)::bigint"
        rows = self._rows("*", f"xid, seq, {self.key}", _AFTER, "order by xid, seq limit %(limit)s")
        return f"""
            with fresh as materialized ({rows})
            select count(*) as rows, coalesce(bit_xor({low}), 0) as fingerprint,
                   (select array[xid::text, seq::text] from fresh order by xid, seq limit 1) as lo,
                   (select array[xid::text, seq::text] from fresh order by xid desc, seq desc limit 1) as hi
            from fresh"""

    def copy_query(self) -> str:
        """The rows of a batch after one place up to another, as text; without those that ClickHouse has refused."""
        within = _AFTER + _UP_TO + _REST.format(key=self.key)
        rows = self._rows(f"{self.values}, %(batch)s", "*", within, "order by xid, seq")
        return f"copy ({rows}) to stdout"

    def keyed_query(self) -> str:
        """The rows with the given keys, as text."""
        return f"copy (select {self.values}, %(batch)s from {self.name} where {self.key} = any(%(keys)s)) to stdout"

    @property
    def values(self) -> str:
        """The expressions of all columns but the batch."""
        return ", ".join(expression for _, expression in self.columns)

    def oldest_query(self) -> str:
        """When the first of the waiting rows was received; no row when none waits."""
        return self._rows("received_at", "received_at, xid, seq", _AFTER, "order by xid, seq limit 1")

    def _rows(self, columns: str, inner: str, after: str, order: str) -> str:
        return _ROWS.format(table=self.name, columns=columns, inner=inner, after=after, order=order)


def window_parameters(done: Snapshot, target: Snapshot, after: Key, limit: int, floor: int = 0) -> dict[str, object]:
    """The bound values of the queries of this module; `floor`: rows up to that number belong to no window."""
    window = between(done, target)
    return {
        "late": [str(xid) for xid in window.late],
        "start": str(window.start),
        "stop": str(window.stop),
        "hidden": [str(xid) for xid in window.hidden],
        "xid": str(after.xid),
        "seq": after.seq,
        "limit": limit,
        "floor": floor,
    }


def changes_query() -> str:
    """The next changed rows of the dimensions, one line a row, with the last place read."""
    rows = _ROWS.format(
        table="row_changes", columns="*", inner="*", after=_AFTER, order="order by xid, seq limit %(limit)s"
    )
    return f"""
        with fresh as materialized ({rows})
        select entity, array_agg(distinct key) as keys,
               jsonb_object_agg(key, version order by version) filter (where op = 'D') as deleted,
               (select count(*) from fresh) as rows,
               (select array[xid::text, seq::text] from fresh order by xid desc, seq desc limit 1) as hi
        from fresh group by entity order by entity"""


def changes_waiting_query() -> str:
    """How many changes of the dimensions wait, counted up to `limit`."""
    rows = _ROWS.format(table="row_changes", columns="xid", inner="xid, seq", after=_AFTER, order="limit %(limit)s")
    return f"select count(*) as n from ({rows}) waiting"


# As ClickHouse reads them: an array of numbers in brackets, bytes in hexadecimal digits.
_FORMS = {"subjects": "'[' || array_to_string(subjects, ',') || ']'", "hash": "encode(hash, 'hex')"}


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    names = text.split()
    return tuple((name, _UTC.format(name) if name.endswith("_at") else _FORMS.get(name, name)) for name in names)


RESPONSES = Pipeline(
    "responses",
    "response_id",
    "submitted_at",
    _columns(
        "response_id school_id classroom_id session_id quiz_id quiz_version question_id student_id attempt_number "
        "choice correct score time_spent_ms submitted_at received_at"
    ),
)
EVENTS = Pipeline(
    "events",
    "event_id",
    "occurred_at",
    _columns(
        "event_id school_id user_id classroom_id quiz_id session_id question_id event_name schema_version app "
        "occurred_at received_at props"
    ),
)
AUDIT = Pipeline(
    "audit_log",
    "audit_id",
    "occurred_at",
    _columns(
        "audit_id chain school_id actor_id actor_role action target subjects outcome request_id details occurred_at "
        "received_at hash"
    ),
    patience=2,
)
FACTS = (RESPONSES, EVENTS, AUDIT)
BY_NAME = {pipeline.name: pipeline for pipeline in FACTS}
DIMENSIONS = "dimensions"
# A commit in another process is told here: at most one NOTIFY for each group commit.
CHANNEL = "eduanalytics_rows"
