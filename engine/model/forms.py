"""The form of single keys: formats, masks, links, refresh keys … What is wrong is noted where it stands."""

from __future__ import annotations

import re
from typing import Any

from core.errors import nearest
from engine.model.document import Entry, snake_keys
from engine.model.schema import Reader
from engine.model.terms import PREDEFINED

FORMATS = ("imageUrl", "link", "id", "percent", "currency", "number")
"""The formats that every member may have."""
NAMED = re.compile(r"(?:number|percent|currency|decimal|abbr|accounting)(?:_[0-6])?")
"""The named formats of numbers."""
_D3 = re.compile(r"(?:.?[<>=^])?[-+( ]?[$#]?0?\d{0,3},?(?:\.\d{1,2})?~?[a-zA-Z%]?")
_STRFTIME = re.compile(r"%[-_0^#]?[a-zA-Z%]")
_EVERY = re.compile(r"\d{1,6} (?:second|minute|hour|day|week)s?")
_CRON = re.compile(r"[-\d*/,LW#?A-Za-z]{1,60}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_LINK_KEYS = ("name", "label", "url", "dashboard", "icon", "target", "primary", "params")


def check_cube(reader: Reader) -> None:
    """Keys of a cube beside its members."""
    reader.flag("rewrite_queries")
    reader.flag("calendar")
    check_refresh_key(reader)
    reader.name_of("sql_alias")


def check_dimension(reader: Reader, *, calendar: bool) -> None:
    """Keys of a dimension that its reading does not look at."""
    kind = str(reader.entry.get("type"))
    _check_ui(reader, kind)
    for key in ("suggest_filter_values", "enable_suggestions", "values_as_segments"):
        reader.flag(key)
    if reader.has("field_type"):
        reader.choice("field_type", ("string",))
    reader.text("key")
    if reader.has("order"):
        reader.choice("order", ("asc", "desc"))
    if reader.has("currency") and kind != "number":
        reader.wrong("only a dimension of type number has a currency.", "currency")
    if reader.has("granularities") and kind != "time":
        reader.wrong("only a dimension of type time has granularities.", "granularities")
    if reader.flag("propagate_filters_to_sub_query") and not reader.flag("sub_query"):
        reader.wrong("this needs sub_query: true beside it.", "propagate_filters_to_sub_query")
    _check_links(reader)
    for each in _mappings(reader, "granularities"):
        _check_granularity(Reader(each, "granularity", reader.file, reader.mistakes), calendar)


def check_measure(reader: Reader) -> None:
    """Keys of a measure that its reading does not look at."""
    kind = str(reader.entry.get("type"))
    _check_ui(reader, kind)
    reader.flag("cumulative")
    if reader.has("currency") and kind in ("string", "boolean", "time"):
        reader.wrong(f"a measure of type {kind} has no currency.", "currency")
    for key in ("filters", "drill_filters"):
        for each in _mappings(reader, key):
            if "sql" not in each:
                problem = f"an item of {key} is a mapping with sql."
                reader.mistakes.add(reader.source(key), problem, key=key)


def check_refresh_key(reader: Reader) -> None:
    """One of `every` (with `sql`, an interval only), `sql`, `immutable: true`."""
    key = reader.entry.get("refresh_key")
    if key is None:
        return
    if not isinstance(key, Entry):
        reader.wrong("write {every: 1 hour}, {sql: …} or {immutable: true}.", "refresh_key")
        return
    key = snake_keys(key)
    known = ("every", "timezone", "sql", "immutable", "incremental", "update_window")
    for name in key:
        if name not in known:
            _unknown(reader, "refresh_key", name, known)
    every, sql = key.get("every"), key.get("sql")
    if key.get("immutable") is not None and (every is not None or sql is not None):
        reader.wrong("immutable stands alone.", "refresh_key")
    elif every is None and sql is None and key.get("immutable") is not True:
        reader.wrong("write {every: 1 hour}, {sql: …} or {immutable: true}.", "refresh_key")
    if every is not None and not _EVERY.fullmatch(str(every)) and (sql is not None or not _is_cron(str(every))):
        also = "" if sql is not None else " or five fields of cron"
        reader.wrong(f"'{every}' is not an interval such as '1 hour'{also}.", "refresh_key")


def _is_cron(text: str) -> bool:
    fields = text.split()
    return len(text) <= 200 and len(fields) in (5, 6) and all(_CRON.fullmatch(field) for field in fields)


def _check_ui(reader: Reader, kind: str) -> None:
    _check_format(reader, kind)
    _check_mask(reader)
    reader.words("aliases")
    if reader.has("currency") and not _CURRENCY.fullmatch(str(reader.entry["currency"])):
        reader.wrong(f"'{reader.entry['currency']}' is not a currency such as EUR.", "currency")


def _check_format(reader: Reader, kind: str) -> None:
    given = reader.entry.get("format")
    if given is None:
        return
    if isinstance(given, Entry):
        if set(given) != {"type", "label"} or given.get("type") != "link":
            reader.wrong("a format with keys is {type: link, label: …}.", "format")
    elif not is_format(str(given), kind):
        close = nearest(str(given), [*FORMATS, "decimal", "abbr", "accounting"])
        hint = f"Did you mean '{close[0]}'?" if close else None
        what = "a strftime pattern such as %Y-%m" if kind == "time" else f"one of {', '.join(FORMATS)}"
        reader.wrong(f"'{given}' is not a format of a {kind}: {what}.", "format", hint=hint)


def is_format(text: str, kind: str) -> bool:
    """Whether a text is a format for that type of member."""
    if text in FORMATS:
        return True
    if kind == "time":
        return bool(_STRFTIME.search(text))
    if kind in ("string", "boolean", "geo", "switch"):
        return False
    return bool(text) and bool(NAMED.fullmatch(text) or _D3.fullmatch(text))


def _check_mask(reader: Reader) -> None:
    mask = reader.entry.get("mask")
    if isinstance(mask, list) or (isinstance(mask, Entry) and set(mask) != {"sql"}):
        reader.wrong("a mask is a number, a text, true, false or {sql: …}.", "mask")


def _check_links(reader: Reader) -> None:
    primary = 0
    for each in _mappings(reader, "links"):
        link = snake_keys(each)
        for name in link:
            if name not in _LINK_KEYS:
                _unknown(reader, "links", name, _LINK_KEYS)
        if ("url" in link) == ("dashboard" in link) or "label" not in link:
            reader.wrong("a link has a label and one of url and dashboard.", "links")
        if link.get("target") not in (None, "blank", "self"):
            reader.wrong(f"'{link['target']}' is not a target: blank or self.", "links")
        primary += link.get("primary") is True
    if primary > 1:
        reader.wrong("only one link may be primary.", "links")


def _check_granularity(reader: Reader, calendar: bool) -> None:
    if reader.has("sql"):
        if reader.has("interval", "origin", "offset"):
            reader.wrong("sql stands alone: no interval, origin or offset beside it.", "sql")
        if not calendar:
            reader.wrong("only a cube with calendar: true has granularities made by sql.", "sql")
        if reader.entry.get("name") not in PREDEFINED:
            reader.wrong(f"sql only replaces one of {', '.join(PREDEFINED)}.", "name")
    if reader.has("origin") and reader.has("offset"):
        reader.wrong("origin and offset exclude each other.", "offset")


def _mappings(reader: Reader, key: str) -> list[Entry]:
    value = reader.entry.get(key)
    if value is not None and not isinstance(value, list | Entry):
        reader.wrong("expected a list.", key)
    found: list[Any] = value if isinstance(value, list) else []
    if any(not isinstance(each, Entry) for each in found):
        reader.wrong("expected mappings.", key)
    return [each for each in found if isinstance(each, Entry)]


def _unknown(reader: Reader, key: str, name: str, known: tuple[str, ...]) -> None:
    close = nearest(name, list(known))
    hint = f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(known)}."
    reader.wrong(f"{key} has no key '{name}'.", key, hint=hint)
