"""What one may ask of the archive: list, plan, run, verify, restore. Answers are lines, told as they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from core.clock import now
from core.errors import BadInput, Conflict
from core.settings import Settings
from core.warehouse import Warehouse
from ingestion.archive.manifest import Month, month_state, office
from ingestion.archive.months import Step, listed, named, plan, run, verify
from ingestion.archive.restore import into_record, into_warehouse
from ingestion.archive.store import Store, open_store
from ingestion.batches import Blocking

Emit = Callable[[dict[str, Any]], None]
Verb = Literal["list", "plan", "run", "verify", "restore"]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked. `into`: where a month comes back to; `days`: how long it stays; `dry_run`: only say what is."""

    verb: Verb
    month: date | None = None
    into: Literal["clickhouse", "postgres"] = "clickhouse"
    days: int = 30
    dry_run: bool = False


def work(url: str, warehouse: Warehouse, settings: Settings, order: Order, emit: Emit) -> None:
    """Do it; a line for each month, and `{"progress": …}` in between. Raises `Busy`, `NotFound`, `Conflict`."""
    if order.verb in ("list", "plan"):
        with psycopg.connect(url, autocommit=True, row_factory=dict_row, options="-c timezone=UTC") as connection:
            for line in _months(connection) if order.verb == "list" else map(_line, plan(connection, settings)):
                emit(line)
        return
    store = require_store(settings)
    with office(url) as connection:
        if order.verb == "run":
            for step in run(connection, warehouse, store, settings, _teller(emit)):
                emit(_line(step))
        elif order.verb == "verify":
            for line in verify(connection, warehouse, store, order.month, _teller(emit)):
                emit(line)
        else:
            _restore(connection, warehouse, store, order, emit)


def require_store(settings: Settings) -> Store:
    """The archive's store; raises `Conflict` when none is set."""
    store = open_store(settings)
    if store is None:
        raise Conflict(
            "There is no archive.", code="no_archive", hint="Set EDU_ARCHIVE_URL to a folder or to s3://bucket/prefix."
        )
    return store


def _restore(connection: Blocking, warehouse: Warehouse, store: Store, order: Order, emit: Emit) -> None:
    if order.month is None:
        raise BadInput("Which month?")
    until = now() + timedelta(days=order.days)
    bring = into_warehouse if order.into == "clickhouse" else into_record
    for month in named(connection, order.month):
        state = month_state(connection, month) or {}
        there = state["warehouse"] == "here" if order.into == "clickhouse" else state["state"] == "restored"
        line = {**_name(month), "into": order.into, "there_already": there}
        if order.dry_run:
            emit({**line, "state": state["state"], "warehouse": state["warehouse"]})
            continue
        rows = bring(connection, warehouse, store, month, until, _teller(emit))
        emit({**line, "rows": rows, "keep_until": until.isoformat(timespec="seconds")})


def _months(connection: Blocking) -> list[dict[str, Any]]:
    return [
        {
            "table": row["table_name"],
            "month": f"{row['month']:%Y-%m}",
            "state": row["state"],
            "warehouse": row["warehouse"],
            "rows": row["rows"],
            "files": row["files"],
            "bytes": row["bytes"],
            "keep_until": row["keep_until"] and row["keep_until"].isoformat(timespec="seconds"),
            "problem": row["problem"],
        }
        for row in listed(connection)
    ]


def _line(step: Step) -> dict[str, Any]:
    rest = {name: value for name, value in asdict(step).items() if name != "month"}
    return {**_name(step.month), **rest}


def _name(month: Month) -> dict[str, str]:
    return {"table": month.fact.table, "month": f"{month.start:%Y-%m}"}


def _teller(emit: Emit) -> Callable[[int, int, str], None]:
    return lambda done, total, what: emit({"progress": {"done": done, "total": total, "what": what}})
