"""One world, one query: tables are made, the engine is asked, the answer compared with the oracle's; case files."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from pydantic import TypeAdapter

from core.errors import EduError, NoJoinPath, Unanswerable
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from engine.model.columns import typed
from engine.run.columns import describe
from tests.engine.asking import command, comparable, query_of, run, total
from tests.engine.worlds.asks import columns, read_ask
from tests.engine.worlds.evaluate import NoWay, Oracle, Refused
from tests.engine.worlds.windows import TooLong
from tests.engine.worlds.world import DATABASE, Table, World

Json = dict[str, Any]
Rows = list[list[Any]]


@dataclass(frozen=True)
class Case:
    """A question to a world; `tenant` is the caller's, if rows are kept from him."""

    world: World
    query: Json
    tenant: int | None = None

    def dumped(self, outcome: str) -> str:
        """The file, with the model's YAML for the reader's eyes."""
        world = asdict(self.world)
        shown = {"outcome": outcome.splitlines(), "query": self.query, "tenant": self.tenant}
        return json.dumps(
            {**shown, "model": self.world.yaml().splitlines(), "world": world}, indent=1, ensure_ascii=False
        )


def loaded(path: Path) -> Case:
    """The case in a file."""
    given = json.loads(path.read_text())
    return Case(TypeAdapter(World).validate_python(given["world"]), given["query"], given["tenant"])


class Asked:
    """A world in ClickHouse, asked by one caller; the planner knows the types of its columns in two of three.

    Unknown microseconds before 1970 are cut upwards, so where there are such, the types are known.
    """

    def __init__(self, warehouse: Warehouse, world: World, tenant: int | None) -> None:
        self.warehouse = warehouse
        text = json.dumps(world.model(), ensure_ascii=False)
        catalog: Catalog = load_texts({"model.yml": text}, strict=True)
        types = warehouse.call(lambda client: describe(client, catalog))
        known = crc32(text.encode()) % 3 or any(
            "(6" in kind for each in world.tables.values() for kind in each.columns.values()
        )
        self.catalog = typed(catalog, types) if known else catalog
        self.oracle = Oracle(world, tenant)
        groups = frozenset({"member"}) if tenant is not None else frozenset[str]()
        self.context = SecurityContext(groups, {"tenant": tenant} if tenant is not None else {})

    def differs(self, query: Json) -> str | None:
        """What is wrong with the engine's answer, None if nothing is."""
        try:
            want = [
                [comparable(value) for value in row] for row in self.oracle.answer(read_ask(self.oracle.world, query))
            ]
        except TooLong:
            return None
        except NoWay:
            return self._refuses(query, NoJoinPath)
        except Refused:
            return self._refuses(query, Unanswerable)
        try:
            statement = compile_query(self.catalog, query_of(query), self.context)
        except Unanswerable as error:
            return None if any(each in str(error) for each in ALLOWED) else f"refused: {error}"
        except (EduError, RecursionError) as error:
            return f"error: {error!r}"[:500]
        try:
            got = [list(row.values()) for row in run(self.warehouse, statement)]
            counted = total(self.warehouse, statement) if query.get("total") else None
        except Exception as error:  # whatever the store says of our SQL is the engine's fault
            if not self.catalog.types and any(each in str(error) for each in KNOWN):
                return None
            return f"{statement.sql}\n{dict(statement.parameters)}\nerror: {_short(str(error))}"
        problem = compared(query, got, want, counted)
        return f"{statement.sql}\n{dict(statement.parameters)}\n{problem}" if problem else None

    def _refuses(self, query: Json, kind: type[Exception]) -> str | None:
        try:
            compile_query(self.catalog, query_of(query), self.context)
        except (kind, NoJoinPath, Unanswerable):
            return None
        except Exception as error:  # any other error is a finding
            return f"error: {error!r}"[:500]
        return f"answered, {kind.__name__} expected"


ALLOWED = ("reference cubes that lead to row multiplication", "which", "two join paths")
"""Refusals of what the oracle could answer."""


KNOWN = ("UNKNOWN_ELEMENT_OF_ENUM", "too big to place in Decimal", "compare decimal number due to overflow")
"""What ClickHouse says of literals beyond a type that the engine does not know: an error, no wrong row."""


def filled(warehouse: Warehouse, world: World) -> None:
    """The world's tables."""
    for name, table in world.tables.items():
        command(warehouse, f"DROP TABLE IF EXISTS {DATABASE}.{name}")
        structure = ", ".join(f"{column} {kind}" for column, kind in table.columns.items())
        command(warehouse, f"CREATE TABLE {DATABASE}.{name} ({structure}) ENGINE = Memory")
        if table.rows:
            settings = "SETTINGS date_time_input_format='best_effort'"
            command(warehouse, f"INSERT INTO {DATABASE}.{name} {settings} FORMAT JSONEachRow {_lines(table)}")


def _short(message: str) -> str:
    name = re.search(r"\(([A-Z_]{6,})\)", message)
    return f"{name[1] if name else ''}: {message[:400]}"


def _lines(table: Table) -> str:
    kinds = list(table.columns.values())
    rows = [[_sent(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in table.rows]
    return "\n".join(json.dumps(dict(zip(table.columns, row, strict=True)), ensure_ascii=False) for row in rows)


def _sent(cell: Any, kind: str) -> Any:
    return f"{cell}Z" if cell is not None and "DateTime" in kind else cell


def compared(query: Json, got: Rows, want: Rows, counted: int | None) -> str | None:
    """Equal rows in the order asked for; a page must be a page of them."""
    if counted is not None and counted != len(want):
        return f"total {counted}, want {len(want)}"
    places, descending = _sorting(query)
    expected = sorted(want, key=lambda row: [_last_null(row[place]) for place in range(len(row))])
    for place, down in reversed(list(zip(places, descending, strict=True))):
        nulls = [row for row in expected if row[place] is None]
        rest = [row for row in expected if row[place] is not None]
        expected = sorted(rest, key=lambda row: _last_null(row[place]), reverse=down) + nulls
    start, stop = query.get("offset", 0), query.get("offset", 0) + query.get("limit", 10_000)
    page = expected[start:stop]
    keys = [[row[place] for place in places] for row in page]
    if not all_same(keys, [[row[place] for place in places] for row in got]) or not within(got, expected, len(page)):
        return f" got {got}\nwant {page}" + ("" if page == expected else f"\n of  {expected}")
    return None


def within(got: Rows, expected: Rows, length: int) -> bool:
    """Whether each row got is one of the expected, and as many as there must be."""
    left = list(expected)
    for row in got:
        found = next((index for index, each in enumerate(left) if all_same([row], [each])), None)
        if found is None:
            return False
        left.pop(found)
    return len(got) == length


def all_same(left: Rows, right: Rows) -> bool:
    """Equal, floats nearly."""
    return len(left) == len(right) and all(
        len(one) == len(two) and all(_same(a, b) for a, b in zip(one, two, strict=True))
        for one, two in zip(left, right, strict=True)
    )


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return bool(left == right)


def _last_null(value: Any) -> tuple[Any, ...]:
    if value is None:
        return (2, "")
    return (1, value.encode()) if isinstance(value, str) else (0, value)


def _sorting(query: Json) -> tuple[list[int], list[bool]]:
    """The places of the columns by which the rows are sorted, and whether downwards."""
    names = columns(query)
    if "order" in query:
        found = [(names.index(name), direction == "desc") for name, direction in query["order"] if name in names]
        return [place for place, _ in found], [down for _, down in found]
    buckets = [name for name in names if name.count(".") == 2]
    if buckets:
        return [names.index(buckets[0])], [False]
    if query.get("measures") and query.get("dimensions"):
        return [names.index(query["measures"][0])], [True]
    return ([0], [False]) if query.get("dimensions") else ([], [])


__all__ = ["DATABASE", "Asked", "Case", "filled", "loaded", "replace"]
