"""A conversion metric as a cube: opportunities and conversions as rows, each conversion at its last opportunity."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.engine.metricflow.terms import Entry, Untranslatable, column_of

if TYPE_CHECKING:
    from tests.engine.metricflow.model import Model


def conversion_cube(model: Model, base: str, metric: Entry, filters: Iterable[str]) -> Entry:
    """The cube with `conversion_rate` and `conversions`, its dimensions and joins those of the base."""
    opportunity, conversion = (_named(metric[key]) for key in ("base_measure", "conversion_measure"))
    target, counted = _owner(model, conversion["name"])
    _, counted_base = _owner(model, opportunity["name"])
    if {counted["agg"], counted_base["agg"]} - {"sum", "count"}:
        raise Untranslatable("a conversion of distinct things")
    columns = [(metric["entity"], metric["entity"])]
    columns += [
        (each["base_property"], each["conversion_property"]) for each in metric.get("constant_properties") or ()
    ]
    same = [f"v.{_column(model, base, left)} = b.{_column(model, target, right)}" for left, right in columns]
    then = _column(model, base, _time(model, base, counted_base))
    later = _column(model, target, _time(model, target, counted))
    where = " AND ".join(_row_condition(model, each) for each in filters) or "1 = 1"
    visits = (
        f"SELECT * REPLACE (assumeNotNull({then}) AS {then}) FROM {model.cubes[base]['sql_table']} AS v WHERE {where}"
    )
    window = _window(metric.get("window"), then, later)
    sql = (
        f"SELECT v.*, {counted_base['expr']} AS opportunity, 0 AS conversion FROM ({visits}) AS v UNION ALL "
        f"SELECT v.*, 0 AS opportunity, {counted['expr']} AS conversion "
        f"FROM {model.cubes[target]['sql_table']} AS b ASOF JOIN ({visits}) AS v "
        f"ON {' AND '.join(same)} AND b.{later} >= v.{then} WHERE {window}"
    )
    sums = [{"name": name, "type": "sum", "sql": name.removesuffix("s")} for name in ("conversions",)]
    sums += [{"name": "opportunities", "type": "sum", "sql": "opportunity"}]
    done, all_ = (_filled(each, name) for each, name in ((conversion, "conversions"), (opportunity, "opportunities")))
    rate = {"name": "conversion_rate", "type": "number", "sql": f"{done} / {all_}"}
    return {
        "name": f"{base}__{metric['name']}",
        "sql": sql,
        "dimensions": [dict(each) for each in model.cubes[base]["dimensions"]],
        "joins": [dict(each) for each in model.cubes[base]["joins"] if each["name"] in model.names],
        "measures": [*sums, rate],
    }


def _named(entry: Entry | str) -> Entry:
    return {"name": entry} if isinstance(entry, str) else entry


def _filled(measure: Entry, name: str) -> str:
    """The sum; no conversion among the opportunities is NULL unless MetricFlow fills it."""
    value = f"NULLIF({{CUBE.{name}}}, 0)"
    return f"COALESCE({value}, {measure['fill_nulls_with']})" if "fill_nulls_with" in measure else value


def _owner(model: Model, measure: str) -> tuple[str, Entry]:
    for semantic in model.source["semantic_models"]:
        for each in semantic.get("measures") or ():
            if each["name"] == measure:
                return semantic["name"], each
    raise Untranslatable(f"no measure {measure}")


def _time(model: Model, cube: str, measure: Entry) -> str:
    return str(measure.get("agg_time_dimension") or model.semantic(cube)["defaults"]["agg_time_dimension"])


def _column(model: Model, cube: str, dimension: str) -> str:
    return column_of(model.sql_of(f"{cube}.{dimension}"))


def _row_condition(model: Model, sql: str) -> str:
    """A filter over the rows of the base table."""
    return re.sub(r"\{(\w+)\.(\w+)\}", lambda found: f"v.{_column(model, found.group(1), found.group(2))}", sql)


def _window(window: str | None, then: str, later: str) -> str:
    if window is None:
        return "1 = 1"
    count, unit = window.split()
    return f"v.{then} > b.{later} - INTERVAL {count} {unit.removesuffix('s').upper()}"
