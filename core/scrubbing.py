"""Keeps people's addresses, tokens and the values of rows out of the log, whoever writes a line."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

_RULES = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), "[token]"),
    (re.compile(r"(?i)\b(bearer|basic) [^\s\"',]+"), r"\1 [token]"),
    (re.compile(r"[^\s@\"'<>()=:,;]{1,64}@[^\s@\"'<>(),;]+\.[^\s@\"'<>(),;]+"), "[e-mail]"),
    (re.compile(r"(?m)^\s*(DETAIL|CONTEXT|QUERY):.*$"), "[values]"),
    (re.compile(r"input_value=.*?, input_type"), "input_value=[value], input_type"),
    (re.compile(r"\b(redis|rediss|valkey|valkeys|postgres|postgresql|https?)://[^\s/@]+@"), r"\1://[secret]@"),
)
# No rule finds anything in a text without one of these; most texts have none.
_SUSPECT = re.compile(r"eyJ|(?i:bearer|basic) |@|DETAIL|CONTEXT|QUERY|input_value=")
_BREAKS = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def scrub_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: every text of an event is scrubbed; only a traceback keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str):
            text = scrub(value)
            event[key] = text if key == "exception" else _BREAKS.sub(" ", text)
        elif not isinstance(value, (int, float, bool, type(None))) and key != "_record":
            event[key] = _BREAKS.sub(" ", scrub(str(value)))
    return event


def scrub(text: str) -> str:
    """The text without addresses, tokens and the values of rows."""
    if not _SUSPECT.search(text):
        return text
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
