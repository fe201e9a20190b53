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
load_lag = Gauge("load_lag_seconds", "Age of the oldest committed row that is not yet in ClickHouse.", ["pipeline"])
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
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
