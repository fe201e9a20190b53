"""From the YAML of windows and stages to their frozen form."""

from __future__ import annotations

from typing import Literal, cast

from engine.model.catalog import Case, NamedShift
from engine.model.intervals import parse_interval
from engine.model.schema import Reader
from engine.model.stages import (
    RollingWindow,
    Snapshot,
    Stage,
    StageCondition,
    StageFilter,
    StageGroup,
    TimeShift,
)
from engine.model.terms import PREDEFINED, Interval, Sql

STAGE_KEYS = ("group_by", "reduce_by", "add_group_by", "grain", "filter", "time_shift", "order_by")
_TO_DATE = {"year_to_date": "year", "quarter_to_date": "quarter", "month_to_date": "month"}


def read_window(reader: Reader, kind: str) -> RollingWindow | None:
    """The `rolling_window` of a measure; type `running_total` is one of its own."""
    if kind == "running_total":
        return RollingWindow("running")
    window = reader.child("rolling_window", "rolling_window")
    if window is None:
        return None
    name = window.choice("type", ("fixed", "to_date", *_TO_DATE), "fixed")
    if name != "fixed":
        return _to_date(window, name)
    if not window.has("trailing", "leading"):
        window.wrong("a rolling window needs trailing or leading.")
    if window.has("granularity"):
        window.wrong("granularity belongs to a window of type to_date.", "granularity")
    offset = window.choice("offset", ("start", "end"), "end")
    return RollingWindow(
        "fixed", _edge(window, "trailing"), _edge(window, "leading"), cast(Literal["start", "end"], offset)
    )


def _to_date(window: Reader, name: str) -> RollingWindow:
    granularity = _TO_DATE.get(name) or window.text("granularity")
    if granularity is None:
        window.wrong(f"a window of type to_date needs granularity, such as {', '.join(PREDEFINED[4:])}.")
    if window.has("trailing", "leading", "offset"):
        window.wrong("a window of type to_date has no trailing, leading or offset.")
    return RollingWindow("to_date", granularity=granularity or "year")


def _edge(window: Reader, key: str) -> Interval | Literal["unbounded"] | None:
    text = window.text(key)
    if text is None or text.strip() == "unbounded":
        return "unbounded" if text else None
    interval = parse_interval(text)
    if interval is None:
        window.wrong(f"'{text}' is neither an interval such as '7 days' nor unbounded.", key)
    return interval


def read_stage(reader: Reader, cube: str, kind: str) -> Stage | None:
    """The stage of a measure or dimension; None where it has none."""
    given = [key for key in STAGE_KEYS if reader.entry.get(key) is not None and not _of_calendar(reader, key)]
    staged = reader.flag("multi_stage")
    if given and not staged:
        reader.wrong(f"{given[0]} needs multi_stage: true beside it.", given[0])
    if kind in ("rank", "number_agg") and not staged:
        reader.wrong(f"a measure of type {kind} needs multi_stage: true.", "type")
    if not staged:
        return None
    grain = reader.child("grain", "grain")
    if grain is not None and reader.has("group_by", "reduce_by", "add_group_by"):
        reader.wrong("grain replaces group_by, reduce_by and add_group_by: give either.", "grain")
    source = grain or reader
    keep, exclude, include = ("keep_only", "exclude", "include") if grain else ("group_by", "reduce_by", "add_group_by")
    if source.has(keep, exclude) and source.entry.get(keep) is not None and source.entry.get(exclude) is not None:
        source.wrong(f"{keep} and {exclude} exclude each other.", exclude)
    return Stage(
        include=names(source.words(include), cube),
        exclude=names(source.words(exclude), cube),
        keep=names(source.words(keep), cube) if source.entry.get(keep) is not None else None,
        shifts=tuple(_shift(each, cube) for each in _shifts(reader)),
        filter=_filter(reader.child("filter", "stage_filter"), cube),
        order=tuple(_order(reader)),
    )


def _of_calendar(reader: Reader, key: str) -> bool:
    """A dimension's `time_shift` declares shifts, it does not apply them."""
    return key == "time_shift" and reader.kind == "dimension"


def names(given: tuple[str, ...], cube: str) -> tuple[str, ...]:
    """Full names; `CUBE.x`, `{CUBE.x}` and `x` are the cube's own."""
    found = []
    for name in given:
        parts = name.replace("{", "").replace("}", "").strip().split(".")
        if len(parts) == 1:
            parts = [cube, *parts]
        elif parts[0] in ("CUBE", "TABLE"):
            parts[0] = cube
        found.append(".".join(parts))
    return tuple(found)


def _shifts(reader: Reader) -> list[Reader]:
    """A list of shifts, or a single one."""
    value = reader.entry.get("time_shift")
    if isinstance(value, dict):
        child = reader.child("time_shift", "time_shift")
        return [child] if child else []
    return list(reader.children("time_shift", "time_shift"))


def _shift(reader: Reader, cube: str) -> TimeShift:
    dimension = reader.text("time_dimension")
    name, text = reader.text("name"), reader.text("interval")
    if (text is None) == (name is None):
        reader.wrong("a time shift needs an interval, or the name of a shift that a calendar cube declares.")
    return TimeShift(names((dimension,), cube)[0] if dimension else None, _signed(reader), name)


def _signed(reader: Reader) -> Interval | None:
    """The interval as it is added to a row's time: `prior 1 year` shows a row a year later than it happened."""
    text = reader.text("interval")
    if text is None:
        return None
    interval = parse_interval(text)
    direction = reader.choice("type", ("prior", "next"), "prior")
    if interval is None:
        reader.wrong(f"'{text}' is not an interval such as '1 year'.", "interval")
        return None
    sign = 1 if direction == "prior" else -1
    return Interval(sign * interval.months, sign * interval.milliseconds)


def read_named_shifts(reader: Reader) -> tuple[NamedShift, ...]:
    """The shifts that a calendar's time dimension declares."""
    found = []
    for each in reader.children("time_shift", "time_shift"):
        if not each.has("name", "interval"):
            each.wrong("a shift of a calendar needs a name, an interval, or both.")
        if not each.has("sql") and not each.has("interval"):
            each.wrong("a shift of a calendar needs an interval or sql.")
        found.append(NamedShift(each.text("name"), _signed(each), each.sql("sql")))
    return tuple(found)


def _filter(reader: Reader | None, cube: str) -> StageFilter | None:
    if reader is None:
        return None
    mode = cast(Literal["relative", "fixed"], reader.choice("mode", ("relative", "fixed"), "relative"))
    if reader.has("exclude") and reader.has("keep_only"):
        reader.wrong("exclude and keep_only exclude each other.", "exclude")
    return StageFilter(
        mode,
        names(reader.words("exclude"), cube),
        names(reader.words("keep_only"), cube) if reader.entry.get("keep_only") is not None else None,
        tuple(_condition(each, cube) for each in reader.children("include", "condition")),
    )


def _condition(reader: Reader, cube: str) -> StageCondition | StageGroup:
    for key in ("and", "or"):
        if reader.has(key):
            inner = tuple(_condition(each, cube) for each in reader.children(key, "condition"))
            return StageGroup("or" if key == "or" else "and", inner)
    member = reader.text("member")
    if member is None:
        reader.wrong("a condition needs a member.")
    raw = reader.entry.get("values")
    listed = raw if isinstance(raw, list) else [] if raw is None else [raw]
    values = tuple(
        None if each is None else str(each).lower() if isinstance(each, bool) else str(each) for each in listed
    )
    return StageCondition(names((member or "",), cube)[0], reader.text("operator") or "equals", values)


def read_snapshot(reader: Reader, cube: str) -> Snapshot | None:
    """The `non_additive` of a measure: along which time, first or last moment, and for each of which entities."""
    child = reader.child("non_additive", "non_additive")
    if child is None:
        return None
    if reader.has("rolling_window", "multi_stage"):
        child.wrong("a semi-additive measure neither rolls nor has stages; let another measure do so with it.")
    choice = child.choice("window_choice", ("min", "max"), "max")
    dimension = names((child.name(),), cube)[0]
    return Snapshot(dimension, cast(Literal["min", "max"], choice), names(child.words("window_groupings"), cube))


def _order(reader: Reader) -> list[tuple[Sql, bool]]:
    found = []
    for each in reader.children("order_by", "order_by"):
        sql = each.sql("sql")
        if sql is None:
            each.wrong("an order needs sql.")
        else:
            found.append((sql, each.choice("dir", ("asc", "desc"), "asc") == "desc"))
    return found


def read_case(reader: Reader) -> Case | None:
    """A searched `case` (when: sql and label) or one over a `switch` dimension (when: value and sql)."""
    case = reader.child("case", "case")
    if case is None:
        return None
    switch = case.sql("switch")
    when: list[tuple[str | Sql, str | Sql]] = []
    for branch in case.children("when", "when"):
        condition = branch.text("value") if switch is not None else branch.sql("sql")
        result = branch.sql("sql") if switch is not None else _label(branch)
        if condition is None or result is None:
            needs = "value and sql" if switch is not None else "sql and label"
            branch.wrong(f"a branch of a case needs {needs}.")
        else:
            when.append((condition, result))
    otherwise = case.child("else", "when")
    last = (otherwise.sql("sql") if otherwise.has("sql") else _label(otherwise)) if otherwise else None
    return Case(tuple(when), last, switch)


def _label(reader: Reader) -> str | Sql | None:
    value = reader.entry.get("label")
    if not isinstance(value, dict):
        return reader.text("label")
    inner = reader.child("label", "label")
    return inner.sql("sql") if inner is not None else None
