"""Model files spoiled at random: mistakes are told and nothing else is raised, and what still loads can be asked.

Each case takes a right model (everything.yml, or one of ours), spoils its text or its data in a few places, loads it,
and asks for public members of what has loaded: the SQL must be one that ClickHouse can read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import EduError, ModelErrors
from core.warehouse import Warehouse
from engine import Catalog, Query, SecurityContext, Statement, compile_query
from engine.model import load_texts
from engine.model.catalog import Cube, View

_HERE = Path(__file__).parent
_OURS = _HERE.parents[2] / "semantic_models"
_BASES = [
    (_HERE / "everything.yml").read_text(),
    *((_OURS / name).read_text() for name in ("cubes/sessions.yml", "cubes/participations.yml", "cubes/schools.yml")),
]
_WORDS: list[Any] = [
    *(
        "",
        "{",
        "}",
        "{{",
        "{CUBE}",
        "{CUBE}.x",
        "{CUBE.id}",
        "{orders}",
        "{orders.count}",
        "{id}",
        "{id} + {id}",
        "CUBE",
    ),
    *(
        "a b",
        "a; drop table x",
        "drop table x",
        "select 1",
        "(select 1)",
        "*",
        "a AS b",
        "count(*)",
        "'",
        '"',
        "`",
        "--",
        "/*",
    ),
    *(
        "select",
        "from",
        "order",
        "table",
        "ordеr",
        "naïve",
        "x" * 300,
        "1 month",
        "-1 day",
        "0 days",
        "9" * 30 + " years",
    ),
    *(
        "{SECURITY_CONTEXT.a.unsafeValue()}",
        "{SECURITY_CONTEXT.a.filter('b')}",
        "{FILTER_PARAMS.orders.at.filter('at')}",
    ),
    *(
        "{FILTER_PARAMS.orders.at.filter(lambda x, y: f'at > {y}')}",
        "{FILTER_GROUP()}",
        "{SQL_UTILS.convertTz(CUBE.at)}",
    ),
    *(
        "{orders.sql()}",
        "{customers.spent}",
        "{at.month}",
        "{a.b.c.d}",
        "f(",
        "CASE WHEN 1",
        "x IN (",
        "x ->",
        "[1, 2",
        "?",
        "@x",
    ),
    *(
        "number",
        "time",
        "string",
        "geo",
        "switch",
        "sum",
        "count",
        "avg",
        "rank",
        "many_to_one",
        "one_to_many",
        "asc",
        "\x00",
        "\ud800",
    ),
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        10**40,
        [],
        {},
        [[]],
        [None],
        {"sql": "x"},
        {"name": "x"},
        [{"name": "id"}],
        {"a": {"b": []}},
    ),
]
_LONG = os.environ.get("EDU_HYPOTHESIS") == "nightly"
_CONTEXT = SecurityContext(
    frozenset({"boss", "teacher"}), {"active": True, "customer": 3, "shop": {"id": [1, 2]}, "school_id": 1, "a": "x"}
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from _places(value[key], (*path, key))


def _spoil_data(data: Any, random: Random) -> None:
    """One change somewhere: a value lost, replaced, moved here from elsewhere, doubled, or under another key."""
    places = list(_places(data))
    path, other = random.choice(places), random.choice(places)
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    source: Any = data
    for key in other:
        source = source[key]
    kind = random.randrange(5)
    if kind == 0:
        del parent[path[-1]]
    elif kind == 1:
        parent[path[-1]] = yaml.safe_load(yaml.safe_dump(source))
    elif kind == 2 and isinstance(parent, dict):
        parent[str(random.choice(_WORDS))] = parent.pop(path[-1])
    elif kind == 3 and isinstance(parent, list):
        parent.append(parent[path[-1]])
    else:
        parent[path[-1]] = random.choice(_WORDS)


def _spoil_text(text: str, random: Random) -> str:
    """A few characters lost, doubled or put in."""
    for _ in range(random.randint(1, 3)):
        start = random.randrange(len(text))
        end = start + random.choice((0, 1, 1, 5, 60))
        put = random.choice(("", text[start:end] * 2, *"{}[]:'\"-&*!|>%@`\t\n #,", str(random.choice(_WORDS))))
        text = text[:start] + put + text[end:]
    return text


def _spoiled(seed: int) -> str:
    random = Random(seed)
    text = random.choice(_BASES)
    if random.random() < 0.4:
        return _spoil_text(text, random)
    data = yaml.safe_load(text)
    for _ in range(random.randint(1, 3)):
        _spoil_data(data, random)
        if not data:
            break
    return yaml.safe_dump(data, allow_unicode=True, default_flow_style=random.random() < 0.5)


def _asked(catalog: Catalog, seed: int) -> Iterator[Statement]:
    """Statements of some public members."""
    random = Random(seed)
    owners: list[Cube | View] = [*catalog.cubes.values(), *catalog.views.values()]
    queries = [Query(measures=(each.full_name,)) for owner in owners for each in owner.measures.values()]
    for owner in owners:
        queries += [Query(dimensions=(each.full_name,)) for each in owner.dimensions.values()]
        count = next((each.full_name for each in owner.measures.values()), None)
        queries += [Query(measures=(count,), segments=(s.full_name,)) for s in owner.segments.values() if count]
    for query in random.sample(queries, min(len(queries), 6)):
        try:
            yield compile_query(catalog, query, _CONTEXT)
        except EduError:
            continue


def check(warehouse: Warehouse, seed: int) -> None:
    """Load one spoiled model and ask it."""
    text = _spoiled(seed)
    started = time.process_time()
    try:
        catalog = load_texts({"m.yml": text})
    except ModelErrors as error:
        assert error.errors
        assert all(each.details["file"] and each.details["line"] >= 1 and str(each) for each in error.errors)
        assert time.process_time() - started < 3
        return
    for statement in _asked(catalog, seed):
        parameters = dict(statement.parameters)
        warehouse.call(lambda client, sql=statement.sql, given=parameters: client.query(f"EXPLAIN AST {sql}", given))  # type: ignore[misc]


@settings(max_examples=20_000 if _LONG else 600, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**40))
def test_a_spoiled_model_is_refused_in_words_or_can_be_asked(seed: int, many: Warehouse) -> None:
    check(many, seed)


@pytest.fixture(scope="module")
def many(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """A warehouse that only reads SQL, for all cases."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=spoiled", threads=1)
    yield warehouse
    warehouse.call(lambda client: client.command("DROP DATABASE IF EXISTS spoiled"))
    warehouse.close()
