"""From the YAML of a measure, dimension, segment, join … to its frozen form."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from engine.model.catalog import Dimension, Join, Mask, Measure, Relationship, Segment
from engine.model.intervals import fits_parent, is_length, parse_interval, shift
from engine.model.schema import DIMENSION_TYPES, MEASURE_TYPES, RELATIONSHIPS, Reader, titled
from engine.model.staging import read_case, read_named_shifts, read_snapshot, read_stage, read_window
from engine.model.terms import PREDEFINED, Granularity, Sql

_DIMENSION_EXTRA = (
    *("aliases", "mask", "suggest_filter_values", "enable_suggestions", "values_as_segments", "field_type", "order"),
    *("key", "links"),
)
_MEASURE_EXTRA = (*("aliases", "mask", "cumulative", "rolling_window"),)
_ORIGIN = datetime.fromisoformat("2024-01-01")  # a Monday and a New Year's Day: weeks and years begin alike


def read_dimension(reader: Reader, cube: str, cube_title: str) -> Dimension:
    """A dimension; exactly one of sql, case, latitude + longitude gives its value."""
    name = reader.name()
    kind = reader.choice("type", DIMENSION_TYPES)
    case = read_case(reader)
    latitude, longitude = (_nested_sql(reader, key) for key in ("latitude", "longitude"))
    given = [reader.has("sql"), reader.has("case"), reader.has("latitude", "longitude")]
    if kind != "switch" and sum(given) != 1:
        reader.wrong("a dimension needs exactly one of sql, case, or latitude with longitude.")
    if (kind == "geo") != reader.has("latitude", "longitude") and not (kind == "geo" and reader.has("sql")):
        reader.wrong("geo needs latitude and longitude, other types have none.", "type")
    return Dimension(
        cube=cube,
        name=name,
        type=kind,
        shown=reader.shown(name, cube_title),
        source=reader.source(),
        sql=reader.sql("sql"),
        case=case,
        latitude=latitude,
        longitude=longitude,
        primary_key=reader.flag("primary_key"),
        sub_query=reader.flag("sub_query"),
        propagate_filters=reader.flag("propagate_filters_to_sub_query"),
        granularities={each.name: each for each in map(_granularity, reader.children("granularities", "granularity"))},
        values=reader.words("values"),
        stage=read_stage(reader, cube, kind),
        shifts=read_named_shifts(reader),
        personal=reader.flag("personal"),
        mask=_mask(reader, kind),
        extra=reader.rest(*_DIMENSION_EXTRA),
    )


def _nested_sql(reader: Reader, key: str) -> Sql | None:
    value = reader.entry.get(key)
    if isinstance(value, dict):
        text = value.get("sql")
        inner = Reader(value, "segment", reader.file, reader.mistakes)  # type: ignore[arg-type]
        return inner.sql("sql") if text is not None else None
    return reader.sql(key)


def _granularity(reader: Reader) -> Granularity:
    name = reader.name()
    text, offset = reader.text("interval"), reader.text("offset")
    interval = parse_interval(text) if text else None
    if name in PREDEFINED and not reader.has("sql"):
        reader.wrong(f"'{name}' is a built-in granularity.", "name")
    if text is None and not reader.has("sql"):
        reader.wrong("a granularity needs an interval.")
    elif text and (interval is None or not is_length(interval)):
        reader.wrong(f"'{text}' is not an interval such as '3 months'.", "interval")
        interval = None
    elif text and not reader.has("origin") and not fits_parent(text):
        reader.wrong(f"'{text}' does not divide the next larger unit evenly: give an origin.", "interval")
    origin = _origin(reader, offset)
    return Granularity(
        name, reader.text("title") or titled(name), text, interval, origin, offset, reader.source(), reader.sql("sql")
    )


def _origin(reader: Reader, offset: str | None) -> str | None:
    """The given origin, or a fixed one: Monday 2024-01-01 moved by the offset."""
    given = reader.text("origin")
    try:
        start = datetime.fromisoformat(given.strip()) if given else _ORIGIN
    except ValueError:
        reader.wrong(f"'{given}' is not a date such as 2024-08-15.", "origin")
        return None
    if offset:
        moved = parse_interval(offset)
        if moved is None:
            reader.wrong(f"'{offset}' is not an interval such as '-6 months'.", "offset")
            return None
        try:
            start = shift(start, moved)
        except (ValueError, OverflowError):
            reader.wrong(f"'{offset}' leads beyond the calendar.", "offset")
            return None
    if not 1900 <= start.year < 2300:
        reader.wrong("an origin lies between 1900 and 2299.", "offset" if offset else "origin")
        return None
    return start.replace(tzinfo=None).isoformat(timespec="milliseconds")


def read_measure(reader: Reader, cube: str, cube_title: str) -> Measure:
    """A measure; only `count`, `rank` and multi-stage measures may lack sql."""
    name = reader.name()
    kind = reader.choice("type", MEASURE_TYPES)
    if not reader.has("sql", "case") and kind not in ("count", "rank") and not reader.has("multi_stage"):
        reader.wrong(f"a measure of type {kind} needs sql.")
    return Measure(
        cube=cube,
        name=name,
        type=kind,
        shown=reader.shown(name, cube_title),
        source=reader.source(),
        sql=reader.sql("sql"),
        filters=_conditions(reader, "filters"),
        drill_filters=_conditions(reader, "drill_filters"),
        drill_members=reader.words("drill_members"),
        window=read_window(reader, kind),
        stage=read_stage(reader, cube, kind),
        snapshot=read_snapshot(reader, cube),
        case=read_case(reader),
        mask=_mask(reader, kind),
        extra=reader.rest(*_MEASURE_EXTRA),
    )


_TEXTS = ("string", "geo", "switch")


def _mask(reader: Reader, kind: str) -> Mask | None:
    """The value shown instead of a member's own, in the member's type; what does not fit it is a mistake."""
    given = reader.entry.get("mask")
    if given is None or isinstance(given, list):
        return None
    if isinstance(given, dict):
        sql = _nested_sql(reader, "mask")
        return Mask(None, sql) if sql is not None else None
    if kind in _TEXTS:
        return Mask(str(given).lower() if isinstance(given, bool) else str(given))
    if kind == "boolean":
        if str(given).lower() not in ("true", "false", "1", "0"):
            reader.wrong(f"'{given}' is neither true nor false; a mask has its member's type.", "mask")
        return Mask(str(given).lower() in ("true", "1"))
    if kind == "time":
        return Mask(str(given))
    try:
        number = float(given)
    except ValueError:
        reader.wrong(f"'{given}' is no number; a mask has its member's type.", "mask")
        return None
    return Mask(int(number) if number.is_integer() else number)


def _conditions(reader: Reader, key: str) -> tuple[Sql, ...]:
    found = (each.sql("sql") for each in reader.children(key, "segment"))
    return tuple(each for each in found if each is not None)


def read_segment(reader: Reader, cube: str, cube_title: str) -> Segment | None:
    """A segment, None if it has no usable sql."""
    name, sql = reader.name(), reader.sql("sql")
    if sql is None:
        if not reader.has("sql"):
            reader.wrong("a segment needs sql.")
        return None
    return Segment(cube, name, reader.shown(name, cube_title), reader.source(), sql)


def read_join(reader: Reader, cube: str) -> Join | None:
    """A join, None if it has no usable sql."""
    name, sql = reader.name(), reader.sql("sql")
    relationship = reader.choice("relationship", tuple(RELATIONSHIPS))
    if sql is None:
        if not reader.has("sql"):
            reader.wrong("a join needs sql.")
        return None
    return Join(cube, name, cast(Relationship, RELATIONSHIPS[relationship]), sql, reader.source())
