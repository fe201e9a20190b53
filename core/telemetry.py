"""What the operator sees: structured logs and Prometheus metrics."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from prometheus_client import Counter, Gauge, Histogram
from structlog.typing import Processor

from core.scrubbing import scrub_event
from core.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger()

http_requests = Counter("http_requests_total", "HTTP requests.", ["method", "route", "status"])
http_seconds = Histogram("http_request_duration_seconds", "HTTP request duration.", ["method", "route"])
rows_loaded = Counter("rows_loaded_total", "Rows brought to ClickHouse.", ["pipeline"])
rows_refused = Counter("rows_refused_total", "Rows that ClickHouse refuses, now dead letters.", ["pipeline"])
audit_repaired = Counter("audit_repaired_rows_total", "Rows that ClickHouse had lost and got again.", ["pipeline"])
load_lag = Gauge("load_lag_seconds", "Age of the oldest committed row that is not yet in ClickHouse.", ["pipeline"])
loader_leads = Gauge("loader_elected", "Whether a loader is elected.")
loader_prepared = Gauge("loader_prepared_batches", "Batches whose insert has not been confirmed.", ["pipeline"])
loader_failures = Gauge("loader_failures", "Failures in a row of a pipeline.", ["pipeline"])
loader_waiting = Gauge("loader_waiting_changes", "Changed rows of dimensions that wait (up to 10,000).")
oldest_write = Gauge("oldest_write_seconds", "How long the oldest write transaction has been open.")
rows_refused_now = Gauge("rows_refused_open", "Rows of the record that ClickHouse does not take.", ["pipeline"])
dead_letters = Gauge("dead_letters", "What was refused, with its reason.", ["stage"])
audit_age = Gauge("audit_age_seconds", "Since the last audit ended.", ["kind"])
audit_open = Gauge("audit_findings_rows", "Rows in which ClickHouse differs from the record.", ["pipeline", "kind"])
store_up = Gauge("store_up", "Whether a store answers.", ["store"])
record_months_ahead = Gauge("record_months_ahead", "Months after this one that have their partitions; alarm below 1.")
queue_bytes = Gauge("accept_queue_bytes", "Accepted input that waits for its commit.")
audit_waiting = Gauge("audit_queue_lines", "Lines about reads that wait to be written to the audit log.")
query_seconds = Histogram("query_duration_seconds", "ClickHouse query duration.")
limits_refused = Counter("limits_refused_total", "Requests over the limit of their class.", ["limit"])
limits_unchecked = Counter("limits_unchecked_total", "Requests let through while Valkey was away.", ["limit"])
guesses_refused = Counter("guesses_refused_total", "Log-ins and codes refused until some time has passed.", ["purpose"])
mails = Counter("mails_total", "Mails that were sent, postponed after a failure, or given up.", ["kind", "outcome"])
sockets = Gauge("websocket_connections_active", "Open live sockets.")


def _json(event: Any, default: Callable[[Any], Any] | None = None) -> str:
    try:
        return orjson.dumps(event, default, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a whole number of more than 64 bits, or half of a surrogate pair
        return json.dumps(event, default=default)


def configure_logging(settings: Settings) -> None:
    """Send logs to stderr: one JSON object a line, or readable text; no secret and no name of a person in them."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        scrub_event,
    ]
    if settings.log_format == "json":
        last: list[Processor] = [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer(_json)]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=shared + last,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _adopt_library_logs(shared, last, max(level, logging.WARNING))


def _adopt_library_logs(shared: list[Processor], last: list[Processor], level: int) -> None:
    """What libraries log takes the same form, and is scrubbed too."""
    handler = logging.StreamHandler(sys.stderr)
    only_event = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared], processors=[only_event, scrub_event, *last]
        )
    )
    logging.basicConfig(level=level, handlers=[handler])
