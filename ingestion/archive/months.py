"""What the commands and the clock do with months: run, restore, verify, list. Each call holds the archive's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from core.clock import now
from core.errors import EduError, NotFound
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.dropping import Unequal, drop
from ingestion.archive.export import Tell, export, reopen
from ingestion.archive.layout import ARCHIVED, RESPONSES
from ingestion.archive.manifest import Month, find_files, month_state, set_month, sweep
from ingestion.archive.removal import leave_warehouse
from ingestion.archive.restore import checked, into_warehouse
from ingestion.archive.store import Store
from ingestion.archive.tiers import LAST_ANSWER, Tiers
from ingestion.batches import Blocking

_PARTITIONS = """
select c.relname as name from pg_class c join pg_inherits i on i.inhrelid = c.oid
where i.inhparent = %s::regclass order by 1
"""
_STATES = """
select m.table_name, m.month, m.state, m.warehouse, m.keep_until, m.problem, m.changed_at,
       coalesce(sum(f.rows), 0)::bigint as rows, count(f.id) as files, coalesce(sum(f.bytes), 0)::bigint as bytes
from archive_months m left join archive_files f using (table_name, month)
group by m.table_name, m.month order by m.month, m.table_name
"""
_LAST_ROW = "select received_at from {partition} order by xid desc, seq desc limit 1"
_END_SESSIONS = """
update quiz_sessions set ended_at = greatest(now(), started_at)
where ended_at is null and mode <> 'live' and opened_at < %s
"""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done, or was done, with a month. `what`: archive, thaw, leave ClickHouse, return to ClickHouse."""

    month: Month
    what: str
    rows: int = 0
    problem: str | None = None


def listed(connection: Blocking) -> list[dict[str, Any]]:
    """Every month that the archive knows, with its state, files, rows and bytes."""
    return list(connection.execute(_STATES).fetchall())


def plan(connection: Blocking, settings: Settings, moment: datetime | None = None) -> list[Step]:
    """What is due now, the oldest first."""
    tiers, known = Tiers.at(moment or now(), settings), _known(connection)
    rest = timedelta(hours=settings.archive_rest_hours)
    steps = [
        Step(month, "archive")
        for month in _in_record(connection, tiers.hot)
        if _is_free(known.get(month)) and _rests(connection, month, rest)
    ]
    for month, state in known.items():
        if state["state"] == "dropping" and month not in {step.month for step in steps}:
            steps.append(Step(month, "archive"))
        elif state["state"] == "archived":
            steps += _warehouse_step(month, state, tiers)
    return sorted(steps, key=lambda step: (step.month.start, step.month.fact.table))


def take(connection: Blocking, warehouse: Warehouse, store: Store, step: Step, tell: Tell | None = None) -> Step:
    """Do one step; an error of ours becomes its problem, and that of the month."""
    try:
        rows = _DO[step.what](connection, warehouse, store, step.month, tell)
    except EduError as error:
        if month_state(connection, step.month):
            set_month(connection, step.month, problem=error.message[:500])
        return Step(step.month, step.what, problem=str(error))
    return Step(step.month, step.what, rows)


def run(
    connection: Blocking, warehouse: Warehouse, store: Store, settings: Settings, tell: Tell | None = None
) -> Iterator[Step]:
    """Do all that is due; a month that fails holds up no other."""
    _end_old_sessions(connection, Tiers.at(now(), settings).hot)
    tried: set[tuple[Month, str]] = set()
    while steps := [step for step in plan(connection, settings) if (step.month, step.what) not in tried]:
        for step in steps:
            tried.add((step.month, step.what))
            yield take(connection, warehouse, store, step, tell)
    sweep(connection, store)


def verify(
    connection: Blocking, warehouse: Warehouse, store: Store, month: date | None = None, tell: Tell | None = None
) -> Iterator[dict[str, Any]]:
    """Read every file (of a month) back and compare it; one line for each month, with the files that are damaged."""
    for known in _known(connection):
        if month and known.start.date() != month:
            continue
        problems, rows, read = [], 0, 0
        for file in find_files(connection, "table_name = %(table)s and month = %(month)s", known.key):
            try:
                for _ in checked(connection, warehouse, store, known, tell, only=[file]):
                    rows, read = rows + file.sums.rows, read + 1
            except EduError as error:
                problems.append(error.message)
        yield {
            "table": known.fact.table,
            "month": f"{known.start:%Y-%m}",
            "files": read,
            "rows": rows,
            "problems": problems,
        }


def named(connection: Blocking, day: date) -> list[Month]:
    """The months of all tables in the archive that begin at a day. Raises `NotFound`."""
    months = [month for month in _known(connection) if month.start.date() == day]
    if not months:
        raise NotFound(f"The archive has no month {day:%Y-%m}.", hint="`eduanalytics archive list` shows the months.")
    return months


def _known(connection: Blocking) -> dict[Month, dict[str, Any]]:
    return {Month.of(row["table_name"], row["month"]): row for row in listed(connection)}


def _in_record(connection: Blocking, before: datetime) -> Iterator[Month]:
    """The months before a moment that have a partition."""
    for table in ARCHIVED:
        for row in connection.execute(_PARTITIONS, (table,)).fetchall():
            year, month = row["name"].removeprefix(f"{table}_").split("_")
            found = Month.of(table, date(int(year), int(month), 1))
            if found.start < before:
                yield found


def _rests(connection: Blocking, month: Month, rest: timedelta) -> bool:
    """Whether no row came into the month lately: an import that is under way must not find it closed."""
    row = connection.execute(_LAST_ROW.format(partition=month.partition)).fetchone()
    return row is None or row["received_at"] <= now() - rest


def _is_free(state: dict[str, Any] | None) -> bool:
    """Whether nobody wants the month to stay."""
    return state is None or state["keep_until"] is None or state["keep_until"] <= now()


def _warehouse_step(month: Month, state: dict[str, Any], tiers: Tiers) -> list[Step]:
    cold = month.start < tiers.warm
    if state["warehouse"] == "leaving" or (cold and state["warehouse"] == "here" and _is_free(state)):
        return [Step(month, "leave ClickHouse")]
    if not cold and state["warehouse"] == "away":
        return [Step(month, "return to ClickHouse")]
    return []


def _archive(connection: Blocking, warehouse: Warehouse, store: Store, month: Month, tell: Tell | None) -> int:
    state = month_state(connection, month)
    rows = 0
    if state is None or state["state"] != "dropping":
        if month.fact is RESPONSES and (until := _answered_lately(connection, month)):
            set_month(connection, month, state="writing", keep_until=until, problem="It still had answers lately.")
            reopen(connection, month)
            return 0
        rows = export(connection, warehouse, store, month, tell).rows
    try:
        drop(connection, warehouse, month)
    except Unequal:
        reopen(connection, month)
        raise
    return rows


def _answered_lately(connection: Blocking, month: Month) -> datetime | None:
    """Until when the month must stay because of its last answer; None when it need not."""
    last = connection.execute(f"select max(submitted_at) as last from {month.partition}").fetchall()[0]["last"]
    until: datetime | None = last and last + LAST_ANSWER
    return until if until and until > now() else None


def _end_old_sessions(connection: Blocking, before: datetime) -> None:
    """A self-paced sitting that is older than the hot months ends: the next answer opens another."""
    connection.execute(_END_SESSIONS, (before,))


_DO: dict[str, Callable[[Blocking, Warehouse, Store, Month, Tell | None], int]] = {
    "archive": _archive,
    "leave ClickHouse": leave_warehouse,
    "return to ClickHouse": lambda connection, warehouse, store, month, tell: into_warehouse(
        connection, warehouse, store, month, None, tell
    ),
}
