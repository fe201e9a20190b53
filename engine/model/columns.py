"""What ClickHouse says of the columns that cubes read: given to the planner as data, by cube and column.

A catalog without types plans for any type. Wrappers (Nullable, LowCardinality) are taken off: what is asked of a column
does not depend on them, except that a time within LowCardinality counts as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from sqlglot import exp

from engine.model.catalog import Catalog, Columns, ColumnType

Types = Mapping[str, Columns]
"""The types of columns by cube and name; what is not there is unknown."""
_TYPE = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_VALUE = re.compile(r"'((?:[^'\\]|\\.)*)'\s*=", re.DOTALL)
_ESCAPED, _ESCAPES = re.compile(r"\\(.)", re.DOTALL), {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}
_TIMES = ("Date", "Date32", "DateTime", "DateTime64")
_SHORT_DECIMALS = {"Decimal32": 9, "Decimal64": 18, "Decimal128": 38, "Decimal256": 76}


def read_type(text: str) -> ColumnType | None:
    """`LowCardinality(Nullable(Decimal(12, 3)))` → Decimal, 12, 3; None for what nobody plans by."""
    name, inside = _parts(text)
    wrapped = name == "LowCardinality"
    while name in ("LowCardinality", "Nullable"):
        name, inside = _parts(inside)
    if wrapped and name in _TIMES:
        return None
    if name == "DateTime64":
        return ColumnType(name, int(inside.partition(",")[0] or 3))
    if name in _SHORT_DECIMALS:
        return ColumnType("Decimal", _SHORT_DECIMALS[name], int(inside))
    if name == "Decimal":
        precision, _, scale = inside.partition(",")
        return ColumnType(name, int(precision), int(scale or 0))
    if name in ("Enum8", "Enum16"):
        return ColumnType(name, values=frozenset(_ESCAPED.sub(_character, each) for each in _VALUE.findall(inside)))
    return ColumnType(name) if name else None


def typed(catalog: Catalog, types: Types) -> Catalog:
    """The catalog with the types of its cubes' columns."""
    found: dict[str, Columns] = {}
    for name, columns in types.items():
        alias = catalog.cubes[name].alias
        found[alias] = columns if found.get(alias, columns) == columns else {}
    return replace(catalog, types=found)


def type_of(catalog: Catalog, tree: exp.Expr) -> ColumnType | None:
    """The type of an expression that is a plain column of a cube; None where it is unknown."""
    if type(tree) is not exp.Column or not catalog.types or tree.args.get("db"):
        return None
    columns = catalog.types.get(tree.table)
    return columns.get(tree.name) if columns is not None else None


def _character(escaped: re.Match[str]) -> str:
    return _ESCAPES.get(escaped[1], escaped[1])


def _parts(text: str) -> tuple[str, str]:
    found = _TYPE.fullmatch(text.strip())
    return (found[1], found[2] or "") if found else ("", "")
