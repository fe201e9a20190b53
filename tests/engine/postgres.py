"""SQL that a model wrote for Postgres, in ClickHouse's words; references in braces stay as they are."""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_MARK = "ref__{}__mark"


def translated(value: Any) -> Any:
    """A model with every `sql` in it translated."""
    if isinstance(value, dict):
        return {
            key: clickhouse(each) if key == "sql" and isinstance(each, str) else translated(each)
            for key, each in value.items()
        }
    return [translated(each) for each in value] if isinstance(value, list) else value


def clickhouse(text: str) -> str:
    """The same SQL for ClickHouse; unchanged where it is no SQL that Postgres could read."""
    code, references = _masked(text)
    try:
        tree = sqlglot.parse_one(code, read="postgres")
    except SqlglotError:
        return text
    result: str = tree.transform(_rewritten).transform(_series).sql("clickhouse")
    for index, reference in enumerate(references):
        result = result.replace(_MARK.format(index), reference)
    return result


def _masked(text: str) -> tuple[str, list[str]]:
    """References become names; they nest (`{FILTER_PARAMS.a.b.filter('{CUBE.c}')}`)."""
    parts: list[str] = []
    references: list[str] = []
    start = depth = 0
    for place, letter in enumerate(text):
        if letter == "{":
            if depth == 0:
                parts.append(text[start:place])
                start = place
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                parts.append(_MARK.format(len(references)))
                references.append(text[start : place + 1])
                start = place + 1
    return "".join([*parts, text[start:]]), references


def _rewritten(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Cast):
        return _cast(node)
    if isinstance(node, exp.StrToTime):
        return sqlglot.parse_one(f"parseDateTime64BestEffort({node.this.sql()}, 3, 'UTC')", read="clickhouse")
    return node


def _cast(node: exp.Cast) -> exp.Expr:
    """Postgres reads any ISO date and rounds to whole numbers."""
    kind = node.to.this
    inner = node.this.sql("clickhouse")
    if kind in (exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMP, exp.DType.DATE) and node.this.is_string:
        return sqlglot.parse_one(f"parseDateTime64BestEffort({inner}, 3, 'UTC')", read="clickhouse")
    if kind in (exp.DType.INT, exp.DType.BIGINT):
        return sqlglot.parse_one(f"toInt64(round({inner}))", read="clickhouse")
    return sqlglot.parse_one(f"toString({inner})", read="clickhouse") if kind == exp.DType.TEXT else node


def _series(node: exp.Expr) -> exp.Expr:
    """`SELECT generate_series(…) AS a, generate_series(…) AS b`: rows side by side."""
    if not isinstance(node, exp.Select):
        return node
    arrays = {each.alias: _array(each.this) for each in node.expressions if _is_series(each)}
    if not arrays:
        return node
    joined = ", ".join(f"{array} AS {name}" for name, array in arrays.items())
    return sqlglot.parse_one(f"SELECT {', '.join(arrays)} FROM system.one ARRAY JOIN {joined}", read="clickhouse")


def _is_series(node: exp.Expr) -> bool:
    return isinstance(node, exp.Alias) and isinstance(node.this, exp.GenerateSeries | exp.ExplodingGenerateSeries)


def _array(series: exp.Expr) -> str:
    start, end, step = (series.args.get(key) for key in ("start", "end", "step"))
    assert start is not None and end is not None
    if step is None:
        return f"range({start.sql()}, {end.sql()} + 1)"
    days = {"day": 1, "week": 7}
    found = re.search(r"(\d+)\D+?(day|week)", step.sql("postgres"), re.IGNORECASE)
    assert found, f"a step of {step.sql()}"
    length = int(found.group(1)) * days[found.group(2).lower()]
    first, last = start.sql("clickhouse"), end.sql("clickhouse")
    count = f"intDiv(dateDiff('day', {first}, {last}), {length}) + 1"
    return f"arrayMap(n -> addDays({first}, n * {length}), range({count}))"
