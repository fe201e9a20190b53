"""Random questions over random small tables: ClickHouse gives the rows that plain Python works out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from core.errors import NoJoinPath
from core.warehouse import Warehouse
from engine import Catalog, Query, SecurityContext, compile_query
from engine.model import load_texts
from engine.query.request import Filter, FilterGroup, FilterTree, TimeDimension
from tests.engine.asking import command, comparable, insert, run, same_rows
from tests.engine.oracle import Ask, Cond, Dim, Edge, Group, Meas, Model, NoWay, Oracle, Row

_DATA = Path(__file__).parent / "data"
_TABLES = {
    "schools": "id Int64, name Nullable(String), school Int64",
    "students": "id Int64, school_id Nullable(Int64), name Nullable(String), born Nullable(Int32), school Int64",
    "answers": "quiz Int64, number Int64, student_id Nullable(Int64), points Nullable(Int64), correct Nullable(Bool), "
    "at DateTime64(3, 'UTC'), school Int64",
    "visits": "id Int64, student_id Nullable(Int64), minutes Float64, at Nullable(DateTime64(3, 'UTC')), school Int64",
    "quizzes": "id Int64, title Nullable(String)",
}
_KEYS = {
    "schools": ("id",),
    "students": ("id",),
    "answers": ("quiz", "number"),
    "visits": ("id",),
    "quizzes": ("id",),
}
_TO_ONE = (
    Edge("students", "schools", "school_id", "id", False),
    Edge("answers", "students", "student_id", "id", False),
    Edge("answers", "quizzes", "quiz", "id", False),
    Edge("visits", "students", "student_id", "id", False),
)
_TO_MANY = (
    Edge("schools", "students", "id", "school_id", True),
    Edge("students", "answers", "id", "student_id", True),
    Edge("quizzes", "answers", "id", "quiz", True),
)
_DIMS = {
    "schools.name": Dim("schools", "name"),
    "students.name": Dim("students", "name"),
    "students.born": Dim("students", "born", "number"),
    "students.school_name": Dim("schools", "name", "string", "students"),
    "answers.correct": Dim("answers", "correct", "boolean"),
    "answers.number": Dim("answers", "number", "number"),
    "answers.at": Dim("answers", "at", "time"),
    "quizzes.title": Dim("quizzes", "title"),
    "visits.at": Dim("visits", "at", "time"),
}
_MEASURES = {
    "schools.count": Meas("schools", "count"),
    "students.count": Meas("students", "count"),
    "students.oldest": Meas("students", "min", "born"),
    "students.born_sum": Meas("students", "sum", "born"),
    "answers.count": Meas("answers", "count"),
    "answers.points": Meas("answers", "sum", "points"),
    "answers.average": Meas("answers", "avg", "points"),
    "answers.right": Meas("answers", "count", None, lambda row: row["correct"] is True),
    "answers.right_points": Meas("answers", "sum", "points", lambda row: row["correct"] is True),
    "answers.scored": Meas("answers", "count", "points"),
    "answers.students": Meas("answers", "count_distinct", "student_id"),
    "visits.count": Meas("visits", "count"),
    "visits.minutes": Meas("visits", "sum", "minutes"),
    "visits.longest": Meas("visits", "max", "minutes"),
}
_RATIOS = {
    "answers.rate": ("answers.right", "answers.count"),
    "students.points_each": ("answers.points", "students.count"),
}
_BOTH = tuple(edge for cube in _KEYS for edge in (*_TO_ONE, *_TO_MANY) if edge.parent == cube)
_MODELS = {
    "to_one": Model(_KEYS, _TO_ONE, _DIMS, _MEASURES, _RATIOS),
    "to_many": Model(_KEYS, _TO_MANY, _DIMS, _MEASURES, _RATIOS),
    "both": Model(_KEYS, _BOTH, _DIMS, _MEASURES, _RATIOS),
}
_GRAINS = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"]
_ZONES = ["UTC", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo", "Australia/Lord_Howe"]
_MOMENTS = [
    datetime(2024, 3, 10, 6, 59, 59, 999000, UTC),
    datetime(2024, 3, 10, 7, 0, 0, 0, UTC),
    datetime(2024, 11, 3, 5, 30, tzinfo=UTC),
    datetime(2024, 11, 3, 6, 30, tzinfo=UTC),
    datetime(2018, 11, 4, 2, 59, 59, 500000, UTC),
    datetime(2018, 11, 4, 3, 0, tzinfo=UTC),
    datetime(2023, 12, 31, 23, 59, 59, 999000, UTC),
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 4, 6, 15, 15, tzinfo=UTC),
    datetime(1969, 7, 20, 20, 17, 40, 123000, UTC),
]
_SPANS = [
    ("2024-01-01T00:00:00.000", "2024-12-31T23:59:59.999"),
    ("2024-03-10T00:00:00.000", "2024-03-10T23:59:59.999"),
    ("2018-11-03T00:00:00.000", "2018-11-04T23:59:59.999"),
    ("1960-01-01T00:00:00.000", "2023-12-31T23:59:59.999"),
]
_NAMES = ["Ada", "ada%", "", "Bo_b", None]


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Small tables with missing partners, NULL keys, repeated names and NULL everywhere it may be."""
    key = st.sampled_from([1, 2, 3, 1, 2, 3, 9, None])
    name = st.sampled_from(_NAMES)
    maybe = st.sampled_from([*_MOMENTS, None])
    owner = st.integers(1, 2)

    def rows(parts: dict[str, Any], keys: tuple[str, ...], least: int, most: int) -> list[Row]:
        unique = lambda row: tuple(row[each] for each in keys)  # noqa: E731
        return draw(st.lists(st.fixed_dictionaries(parts), min_size=least, max_size=most, unique_by=unique))

    student = {"id": st.integers(1, 4), "school_id": key, "name": name, "born": st.sampled_from([2000, 2001, None])}
    answer = {
        "quiz": st.sampled_from([1, 11]),
        "number": st.sampled_from([1, 11, 2**53 + 1]),
        "student_id": key,
        "points": st.sampled_from([None, -2, 0, 3, 5]),
        "correct": st.sampled_from([True, False, None]),
        "at": st.sampled_from(_MOMENTS),
        "school": owner,
    }
    visit = {"id": st.integers(1, 5), "student_id": key, "minutes": st.sampled_from([0.5, 1.0, 2.25]), "at": maybe}
    return {
        "schools": rows({"id": st.integers(1, 3), "name": name, "school": owner}, ("id",), 1, 3),
        "students": rows({**student, "school": owner}, ("id",), 2, 4),
        "answers": rows(answer, ("quiz", "number"), 2, 6),
        "visits": rows({**visit, "school": owner}, ("id",), 0, 4),
        "quizzes": rows({"id": st.sampled_from([1, 11, 3]), "title": name}, ("id",), 0, 3),
    }


_texts = st.sampled_from(["Ada", "ada%", "", "b", "Bo_", "_", None])
_text_conditions = st.builds(
    Cond,
    st.sampled_from(["schools.name", "students.name", "students.school_name", "quizzes.title"]),
    st.sampled_from(
        """
        equals notEquals in notIn contains notContains startsWith notStartsWith endsWith notEndsWith
        """.split()  # noqa: SIM905 - shorter so
    ),
    st.lists(_texts, min_size=1, max_size=3, unique=True).map(tuple),
)
_big = str(2**53 + 1)
_number_conditions = st.builds(
    Cond,
    st.just("answers.number"),
    st.sampled_from(["equals", "notEquals", "gt", "gte", "lt", "lte"]),
    st.sampled_from([("1",), (_big,), (str(2**53),)]),
)
_year_conditions = st.builds(
    Cond,
    st.just("students.born"),
    st.sampled_from(["equals", "notEquals", "in", "notIn"]),
    st.sampled_from([("2001",), ("2000", "2002"), (None,), ("2001", None)]),
)
_flag_conditions = st.builds(
    Cond,
    st.just("answers.correct"),
    st.sampled_from(["equals", "notEquals"]),
    st.sampled_from([("true",), ("false",), ("true", None)]),
)
_set_conditions = st.builds(Cond, st.sampled_from(sorted(_DIMS)), st.sampled_from(["set", "notSet"]))
_time_conditions = st.builds(
    Cond,
    st.sampled_from(["answers.at", "visits.at"]),
    st.sampled_from(["inDateRange", "notInDateRange"]),
    st.sampled_from(_SPANS),
)
_conditions = st.one_of(
    _text_conditions, _number_conditions, _year_conditions, _flag_conditions, _set_conditions, _time_conditions
)
_trees = st.one_of(
    _conditions,
    st.builds(Group, st.sampled_from(["and", "or"]), st.lists(_conditions, min_size=1, max_size=2).map(tuple)),
)
_having = st.builds(
    Cond,
    st.sampled_from(sorted(_MEASURES)),
    st.sampled_from(["gt", "lte", "set", "notSet"]),
    st.sampled_from([("0",), ("1",), ("2.5",)]),
)
_asks = st.builds(
    Ask,
    measures=st.lists(st.sampled_from(sorted([*_MEASURES, *_RATIOS])), max_size=3, unique=True).map(tuple),
    dims=st.lists(st.sampled_from(sorted(_DIMS)), max_size=2, unique=True).map(tuple),
    times=st.lists(
        st.tuples(
            st.sampled_from(["answers.at", "visits.at"]),
            st.sampled_from([*_GRAINS, None]),
            st.sampled_from([None, None, *_SPANS]),
        ),
        max_size=1,
    ).map(tuple),
    where=st.one_of(st.just(()), st.lists(_trees, max_size=2).map(tuple)),
    having=st.one_of(st.just(()), st.just(()), st.lists(_having, max_size=1).map(tuple)),
    zone=st.sampled_from(_ZONES),
)


@pytest.fixture(scope="module")
def store(clickhouse_folder: Path) -> Any:
    """The tables, empty."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=oracle", threads=1)
    for name, columns in _TABLES.items():
        command(warehouse, f"CREATE TABLE {name} ({columns}) ENGINE = Memory")
    yield warehouse
    command(warehouse, "DROP DATABASE oracle")
    warehouse.close()


@pytest.fixture(scope="module")
def catalogs() -> dict[str, Catalog]:
    """The same cubes with joins to one only, to many only, in both directions, and with policies."""
    text = (_DATA / "oracle.yml").read_text()
    both = text.replace("# many: ", "")
    to_many = "\n".join(line for line in both.splitlines() if "many_to_one" not in line)
    kinds = {"to_one": text, "to_many": to_many, "both": both, "protected": both.replace("# policy: ", "")}
    return {kind: load_texts({f"{kind}.yml": model}, strict=True) for kind, model in kinds.items()}


def _fill(warehouse: Warehouse, data: dict[str, list[Row]]) -> None:
    for name, rows in data.items():
        command(warehouse, f"TRUNCATE TABLE {name}")
        if rows:
            columns = list(rows[0])
            values = [[row[column] for column in columns] for row in rows]
            insert(warehouse, name, columns, values)


def _query(ask: Ask) -> Query:
    return Query(
        measures=ask.measures,
        dimensions=ask.dims,
        time_dimensions=tuple(TimeDimension(name, grain, span) for name, grain, span in ask.times),
        filters=tuple(_tree(tree) for tree in (*ask.where, *ask.having)),
        timezone=ask.zone,
    )


def _tree(tree: Cond | Group) -> FilterTree:
    if isinstance(tree, Group):
        return FilterGroup(tree.operator, tuple(_tree(part) for part in tree.parts))  # type: ignore[arg-type]
    return Filter(tree.member, tree.operator, tree.values)


def _askable(ask: Ask) -> bool:
    return bool(ask.measures or ask.dims or any(grain for _, grain, _ in ask.times))


_CHECKED = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@_CHECKED
@given(
    kind=st.sampled_from(sorted(_MODELS)), data=tables(), asks=st.lists(_asks.filter(_askable), min_size=3, max_size=6)
)
def test_the_planner_agrees_with_plain_python(
    store: Warehouse, catalogs: dict[str, Catalog], kind: str, data: dict[str, list[Row]], asks: list[Ask]
) -> None:
    _fill(store, data)
    oracle = Oracle(_MODELS[kind], data)
    for ask in asks:
        _agree(store, catalogs[kind], oracle, ask, SecurityContext())


@_CHECKED
@given(data=tables(), asks=st.lists(_asks.filter(_askable), min_size=3, max_size=6))
def test_a_caller_gets_what_he_would_get_if_the_hidden_rows_did_not_exist(
    store: Warehouse, catalogs: dict[str, Catalog], data: dict[str, list[Row]], asks: list[Ask]
) -> None:
    _fill(store, data)
    own = {name: [row for row in rows if row.get("school", 1) == 1] for name, rows in data.items()}
    for ask in asks:
        admin = SecurityContext(frozenset({"admin"}), {"school_id": 1})
        _agree(store, catalogs["protected"], Oracle(_MODELS["both"], own), ask, admin)


def _agree(store: Warehouse, catalog: Catalog, oracle: Oracle, ask: Ask, context: SecurityContext) -> None:
    try:
        expected = oracle.answer(ask)
    except NoWay:
        with pytest.raises(NoJoinPath):
            compile_query(catalog, _query(ask), context)
        return
    try:
        statement = compile_query(catalog, _query(ask), context)
    except NoJoinPath:
        assert _concerns_nothing(oracle, ask)
        return
    got = [list(row.values()) for row in run(store, statement)]
    want = [[comparable(value) for value in row] for row in expected]
    note(f"{ask}\n{statement.sql}\n{dict(statement.parameters)}")
    assert same_rows(got, want, ordered=False), f"\n got {got}\nwant {want}"


def _concerns_nothing(oracle: Oracle, ask: Ask) -> bool:
    """Whether some filter can be joined to none of the facts; we refuse that, the oracle lets it pass."""
    return bool(ask.where or ask.times)
