"""Is this the record that ClickHouse was filled from? Transaction numbers and batch numbers mean something only there.

Refused until a rebase: another cluster (restored from a dump), another timeline (a standby was promoted, or the record
was restored to a moment), transaction numbers that ran backwards, and a ClickHouse that has batches of which the
record knows nothing (a copy of the disk was put back: no number of Postgres' tells that one).
"""

from __future__ import annotations

from core.errors import Conflict
from core.warehouse import Warehouse
from ingestion.pipelines import FACTS, Pipeline
from ingestion.term import Term
from ingestion.windows import Snapshot

CLUSTER = "(select system_identifier::text from pg_control_system())"
TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_PLACE = f"""
select name, cluster, timeline, done::text, {CLUSTER} as own_cluster, {TIMELINE} as own_timeline,
       pg_current_snapshot()::text as current,
       greatest((select max(id) from batches where pipeline = name), settled_batch, 0) as last_batch
from pipelines order by name
"""


class Foreign(Conflict):
    """This is not the record that ClickHouse was filled from; nothing is loaded until it was rebased."""

    code = "foreign_record"


def check_origin(term: Term) -> None:
    """Raises `Foreign` with the reason when the record was restored or replaced."""
    tables = {pipeline.name: pipeline for pipeline in FACTS}
    for row in term.connection.execute(_PLACE).fetchall():
        if row["cluster"] != row["own_cluster"]:
            raise _foreign(f"{row['name']} was filled from another Postgres cluster ({row['cluster']})")
        if row["timeline"] not in (None, row["own_timeline"]):
            raise _foreign(f"Postgres went from timeline {row['timeline']} to {row['own_timeline']}")
        if Snapshot.parse(row["done"]).xmax > Snapshot.parse(row["current"]).xmax:
            raise _foreign("transaction numbers have run backwards")
        if row["name"] in tables and (number := batch_above(term.warehouse, tables[row["name"]], row["last_batch"])):
            raise _foreign(f"ClickHouse has batch {number} of {row['name']}, the record knows {row['last_batch']}")


def batch_above(warehouse: Warehouse, pipeline: Pipeline, number: int) -> int:
    """A batch in ClickHouse with a higher number, 0 if there is none."""
    query = f"SELECT batch FROM {pipeline.name} WHERE batch > {{number:UInt64}} LIMIT 1"
    rows = warehouse.call(lambda client: client.query(query, parameters={"number": number})).result_rows
    return int(rows[0][0]) if rows else 0


def _foreign(reason: str) -> Foreign:
    return Foreign(f"The record is not the one that ClickHouse was filled from: {reason}.",
                   hint="Run `eduanalytics pipeline rebase`: it compares both and loads what is missing.")  # fmt: skip
