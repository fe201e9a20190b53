"""The product's own models: any question of anybody is answered as if all that he may not see were not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from core.errors import AccessDenied, EduError
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, load_catalog
from tests.engine.access.district import Tables, draw_district, tables_ddl
from tests.engine.access.people import KEY, Person, draw_person, seen_by
from tests.engine.access.questions import draw_question
from tests.engine.asking import ask, command, insert, same_rows

NIGHTLY = os.environ.get("EDU_HYPOTHESIS") == "nightly"
DISTRICTS, PEOPLE, QUESTIONS = (40, 20, 40) if NIGHTLY else (6, 10, 40)
_OPERATOR = SecurityContext(frozenset({"operator"}), {"pseudonym_key": KEY})
Answer = list[dict[str, Any]] | type[EduError]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The product's own models."""
    return load_catalog(Path(__file__).resolve().parents[3] / "semantic_models")


@pytest.fixture(scope="module")
def stores(clickhouse_folder: Path) -> Iterator[tuple[Warehouse, Warehouse]]:
    """A database with everything, and one with what somebody may see."""
    made = [Warehouse(f"chdb://{clickhouse_folder}?database={name}", threads=1) for name in ("whole", "seen")]
    for store in made:
        for statement in tables_ddl():
            command(store, statement)
    yield made[0], made[1]
    for store, name in zip(made, ("whole", "seen"), strict=True):
        command(store, f"DROP DATABASE {name}")
        store.close()


def fill(store: Warehouse, tables: Tables) -> None:
    """These rows and no others."""
    for table, rows in tables.items():
        command(store, f"TRUNCATE TABLE {table}")
        if rows:
            columns = list(rows[0])
            insert(store, table, columns, [[row[column] for column in columns] for row in rows])


def answer(store: Warehouse, catalog: Catalog, query: dict[str, Any], context: SecurityContext) -> Answer:
    """The rows, or what was refused."""
    try:
        return ask(store, catalog, query, context)
    except EduError as error:
        return type(error)


@pytest.mark.timeout(3600 if NIGHTLY else 900)
@pytest.mark.parametrize("seed", range(DISTRICTS))
def test_an_answer_is_that_of_a_database_without_what_one_may_not_see(
    seed: int, catalog: Catalog, stores: tuple[Warehouse, Warehouse]
) -> None:
    whole, seen = stores
    random, tables = Random(seed), draw_district(seed)
    fill(whole, tables)
    asked = 0
    for _ in range(PEOPLE):
        person = draw_person(random, tables)
        fill(seen, seen_by(person, tables))
        asked += sum(_compare(random, catalog, whole, seen, person) for _ in range(QUESTIONS))
    assert asked > PEOPLE * QUESTIONS / 2


def _compare(random: Random, catalog: Catalog, whole: Warehouse, seen: Warehouse, person: Person) -> bool:
    query = draw_question(random, catalog, person.may_ask)
    if query is None:
        return False
    got = answer(whole, catalog, query, SecurityContext(frozenset(person.roles), person.attributes))
    wanted = answer(seen, catalog, query, _OPERATOR)
    told = f"{person}\n{query}\n{got}\n{wanted}"
    if isinstance(got, type) or isinstance(wanted, type):
        assert got == wanted and got is not AccessDenied, told
        return False
    assert same_rows([list(row.values()) for row in got], [list(row.values()) for row in wanted], ordered=False), told
    return True
