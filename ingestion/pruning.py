"""The manifest and the log of changes are kept as long as something reads them, so that both stay bounded.

`batches` and `batch_keys`: an audit of the last `audit_days` and a day more. What is older is settled: its rows keep
their batch numbers in ClickHouse, and are compared by hours instead (`pipeline replay`). A batch about which an audit
has something open is kept, and all that came after it. `row_changes`: nothing, once the dimensions are past it.
`loader_jobs`: the last hundred. Findings that were settled go after `audit_days`.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from core.clock import now
from core.settings import Settings
from ingestion.batches import fenced
from ingestion.pipelines import DIMENSIONS, FACTS
from ingestion.term import Term

_EVERY_SECONDS = 60.0
_PIECE = 20_000
_OLD = """
select max(id) as last from (
    select id, coalesce(committed_at, prepared_at) < %(before)s and state <> 'prepared' as old from batches
    where pipeline = %(pipeline)s and id < coalesce((select min(batch) from audit_findings
        where pipeline = %(pipeline)s and settled_at is null and kind <> 'unknown'), 9223372036854775807)
    order by id limit %(piece)s) first
where old and id < coalesce((select min(id) from batches where pipeline = %(pipeline)s and not (
    coalesce(committed_at, prepared_at) < %(before)s and state <> 'prepared')), 9223372036854775807)
"""
_SETTLE = """
update pipelines set settled_batch = greatest(settled_batch, %(last)s), settled_rows = settled_rows + (
    select coalesce(sum(rows), 0) from batches where pipeline = %(pipeline)s and id <= %(last)s and state = 'committed')
where name = %(pipeline)s and epoch = %(epoch)s returning name
"""
_FORGET = """
with keys as (delete from batch_keys where pipeline = %(pipeline)s and batch <= %(last)s)
delete from batches where pipeline = %(pipeline)s and id <= %(last)s
"""
_CHANGES = """
delete from row_changes where seq in (
    select seq from row_changes where xid < (select pg_snapshot_xmin(done) from pipelines where name = %s)
    order by xid, seq limit %s)
"""
_JOBS = """
delete from loader_jobs where state in ('done', 'failed') and id <= (select max(id) from loader_jobs) - 100
"""
_FINDINGS = "delete from audit_findings where settled_at < %s"


def prune_by_the_clock(term: Term, settings: Settings) -> None:
    """Each minute, at most so many rows of each table; nothing in the first minute of a term."""
    moment = time.monotonic()
    if moment - term.looked.setdefault("prune", moment) >= _EVERY_SECONDS:
        term.looked["prune"] = moment
        prune(term, settings.audit_days)


def prune(term: Term, audit_days: int) -> int:
    """Forget what nothing reads any more; returns how many batches and changes went."""
    before = now() - timedelta(days=audit_days + 1)
    gone = sum(_prune_batches(term, pipeline.name, before) for pipeline in FACTS)
    term.connection.execute(_JOBS)
    term.connection.execute(_FINDINGS, (before,))
    return gone + term.connection.execute(_CHANGES, (DIMENSIONS, _PIECE)).rowcount


def _prune_batches(term: Term, pipeline: str, before: datetime) -> int:
    values = {"pipeline": pipeline, "before": before, "piece": _PIECE}
    last = term.connection.execute(_OLD, values).fetchall()[0]["last"]
    if last is None:
        return 0
    with term.connection.transaction():
        fenced(term, pipeline, _SETTLE, last=last)
        return term.connection.execute(_FORGET, {"pipeline": pipeline, "last": last}).rowcount
