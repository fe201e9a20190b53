"""ClickHouse lost its tables (a new server, a deleted folder): the pipeline starts anew from the record.

Only an empty table counts as lost. The batches that filled it are marked `discarded` and keep their numbers, so that
no token is ever used for other data.
"""

from __future__ import annotations

from core.telemetry import log
from ingestion.failpoints import failpoint
from ingestion.pipelines import DIMENSIONS, FACTS
from ingestion.term import Term

_DISCARD = "update batches set state = 'discarded' where pipeline = %s and state <> 'discarded'"
_START = """
update pipelines set done = '1:1:', target = null, key_xid = '0', key_seq = 0, settled_rows = 0
where name = %s and (done::text <> '1:1:' or target is not null)
"""
_SHIPPED = """
select exists (select 1 from batches where pipeline = p.name and state = 'committed' and rows > 0)
    or (settled_batch > 0 and done::text <> '1:1:') as known
from pipelines p where name = %s
"""
# Rows that were there at a rebase lie in no window.
_REPLAY = """
insert into loader_jobs (kind, options) select 'replay', jsonb_build_object('table', name)
from pipelines where name = %s and floor_seq > 0
"""
# Months that the record has no more come from the archive (archive/months.py).
_ARCHIVED = """
update archive_months set warehouse = case state when 'archived' then 'away' else 'here' end where table_name = %s
"""
_SCHOOLS = "select exists (select 1 from schools) as known"


def rebuild(term: Term) -> None:
    """Start each pipeline anew that has brought rows of which ClickHouse knows none."""
    for pipeline in FACTS:
        if _known(term, _SHIPPED, pipeline.name) and _is_empty(term, pipeline.name):
            _start_anew(term, pipeline.name)
    if _known(term, _SCHOOLS) and _is_empty(term, "schools"):
        _start_anew(term, DIMENSIONS)


def _known(term: Term, query: str, *values: str) -> bool:
    row = term.connection.execute(query, values).fetchone()
    return bool(row and row["known"])


def _is_empty(term: Term, table: str) -> bool:
    found = term.warehouse.call(lambda client: client.query(f"SELECT count() FROM {table}"))
    return int(found.result_rows[0][0]) == 0


def _start_anew(term: Term, name: str) -> None:
    failpoint("discarding")
    with term.connection.transaction():
        term.connection.execute(_DISCARD, (name,))
        failpoint("discarded")
        term.connection.execute(_ARCHIVED, (name,))
        if term.connection.execute(_START, (name,)).rowcount:
            term.connection.execute(_REPLAY, (name,))
            log.warning("ClickHouse has lost these rows; they are brought again", pipeline=name)
    failpoint("rebuilt")
