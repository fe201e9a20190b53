"""Tenants, personal data, and restrictions that also hold inside of an answer's own sub-queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import AccessDenied, ModelErrors
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from tests.engine.asking import ask, query_of, script

_MODEL = """
cubes:
  - name: pupils
    sql: SELECT id, school, name FROM people WHERE role = 'pupil'
    tenant: school
    joins: [{name: visits, relationship: one_to_many, sql: "{CUBE}.id = {visits}.pupil"}]
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: school, sql: school, type: number}
      - {name: name, sql: name, type: string, personal: true}
      - {name: visits, sql: "{visits.count}", type: number, sub_query: true}
      - {name: band, multi_stage: true, type: string, add_group_by: [pupils.id],
         case: {when: [{sql: "{visits.count} > 1", label: often}], else: {label: seldom}}}
    measures: [{name: count, type: count}]
    access_policy: &everybody
      - {group: all_of_it, row_level: {allow_all: true}}
      - {group: member}
  - name: quizzes
    sql_table: quizzes
    tenant: {member: school, shared: true}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: school, sql: school, type: number}
    measures: [{name: count, type: count}]
    access_policy: *everybody
  - name: visits
    sql_table: visits
    joins: [{name: pupils, relationship: many_to_one, sql: "{CUBE}.pupil = {pupils}.id"}]
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: kind, sql: kind, type: string}
    measures:
      - {name: count, type: count}
      - {name: total, type: sum, sql: "{count}", multi_stage: true, group_by: []}
views:
  - name: roll
    cubes:
      - {join_path: pupils, includes: [id, visits, band, count]}
      - {join_path: pupils.visits, includes: [kind, {name: count, alias: visit_count}]}
    access_policy:
      - {group: member, row_level: {filters: [{member: kind, operator: equals, values: [public]}]}}
"""
_TABLES = """
CREATE TABLE people (id Int64, school Int64, name String, role String) ENGINE = Memory;
INSERT INTO people VALUES (1, 1, 'Ada', 'pupil'), (2, 1, 'Bo', 'pupil'), (3, 2, 'Cy', 'pupil'), (9, 1, 'T', 'teacher');
CREATE TABLE quizzes (id Int64, school Nullable(Int64)) ENGINE = Memory;
INSERT INTO quizzes VALUES (1, 1), (2, 2), (3, NULL);
CREATE TABLE visits (id Int64, pupil Int64, kind String) ENGINE = Memory;
INSERT INTO visits VALUES (1, 1, 'public'), (2, 1, 'own'), (3, 2, 'own'), (4, 3, 'public'), (5, 3, 'public');
"""


def _member(*schools: int) -> SecurityContext:
    return SecurityContext(frozenset({"member"}), {"school_ids": list(schools)})


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Pupils and quizzes belong to schools, visits to nobody."""
    return load_texts({"m.yml": _MODEL}, strict=True)


@pytest.fixture(scope="module")
def store(clickhouse_folder: Path) -> Iterator[Warehouse]:
    """Two schools."""
    warehouse = Warehouse(f"chdb://{clickhouse_folder}?database=tenants", threads=1)
    script(warehouse, _TABLES)
    yield warehouse
    script(warehouse, "DROP DATABASE tenants;\n")
    warehouse.close()


@pytest.mark.parametrize(
    ("context", "pupils", "quizzes"),
    [
        (_member(1), 2, 2),
        (_member(1, 2), 3, 3),
        (_member(7), 0, 1),
        (_member(), 0, 0),
        (SecurityContext(frozenset({"member"}), {"school_id": 1}), 0, 0),
        (SecurityContext(frozenset({"all_of_it"})), 3, 3),
        (SecurityContext(frozenset({"all_of_it", "member"}), {"school_ids": [1]}), 3, 3),
    ],
)
def test_rows_are_those_of_the_callers_schools(
    context: SecurityContext, pupils: int, quizzes: int, store: Warehouse, catalog: Catalog
) -> None:
    for name, count in (("pupils.count", pupils), ("quizzes.count", quizzes)):
        assert ask(store, catalog, {"measures": [name]}, context) == [{name: count}]


def test_what_a_view_requires_holds_in_its_sub_queries_too(store: Warehouse, catalog: Catalog) -> None:
    query: dict[str, Any] = {"dimensions": ["roll.id", "roll.visits", "roll.band"], "order": [["roll.id", "asc"]]}
    rows = [list(row.values()) for row in ask(store, catalog, query, _member(1, 2))]
    assert rows == [[1, 1, "seldom"], [3, 2, "often"]]


def test_a_total_counts_no_rows_that_a_protected_bridge_hides(store: Warehouse, catalog: Catalog) -> None:
    query = {"dimensions": ["pupils.school"], "measures": ["visits.count", "visits.total"]}
    assert [list(row.values()) for row in ask(store, catalog, query, _member(1))] == [[1, 3, 3]]
    everything = SecurityContext(frozenset({"all_of_it"}))
    rows = ask(store, catalog, query | {"order": [["pupils.school", "asc"]]}, everything)
    assert [list(row.values()) for row in rows] == [[1, 3, 5], [2, 2, 5]]


def test_the_callers_schools_are_part_of_what_an_answer_is_kept_under(catalog: Catalog) -> None:
    query = query_of({"measures": ["pupils.count"]})
    kept = {compile_query(catalog, query, each).policy for each in (_member(1), _member(2), _member(1, 2))}
    assert len(kept) == 3


_PERSONAL = """
cubes:
  - name: pupils
    sql_table: pupils
    {more}
    dimensions:
      - {{name: school, sql: school, type: number}}
      - {{name: name, sql: name, type: string, personal: true}}
"""


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("title: Pupils", r"m\.yml:8: personal: 'pupils\.name' is personal, but 'pupils' has no tenant"),
        ("tenant: school", r"m\.yml:5: tenant: a cube with a tenant needs an access_policy"),
        ("access_policy: [{group: a, row_level: {allow_all: true}}]", "has no tenant"),
        ("tenant: scool", "'pupils' has no dimension 'scool'"),
        ("tenant: {shared: true}", "a tenant names the member"),
        ("tenant: {member: school, share: true}", "a tenant has no such key"),
    ],
)
def test_personal_data_without_a_tenant_does_not_load(more: str, problem: str) -> None:
    with pytest.raises(ModelErrors, match=problem) as found:
        load_texts({"m.yml": _PERSONAL.format(more=more)})
    assert any(each.hint for each in found.value.errors)


def test_a_model_without_our_keys_loads_as_before() -> None:
    text = _PERSONAL.format(more="title: Pupils").replace(", personal: true", "")
    assert compile_query(load_texts({"m.yml": text}), query_of({"dimensions": ["pupils.name"]}), SecurityContext()).sql


def test_security_context_in_sql_fails_closed() -> None:
    text = """
cubes:
  - name: rows
    sql: SELECT * FROM rows WHERE {SECURITY_CONTEXT.region.filter('region')}
    dimensions:
      - {name: id, sql: id, type: number}
      - {name: mine, sql: "{CUBE}.owner = {SECURITY_CONTEXT.user_id.unsafeValue()}", type: boolean}
"""
    catalog = load_texts({"m.yml": text}, strict=True)
    assert "WHERE FALSE" in compile_query(catalog, query_of({"dimensions": ["rows.id"]}), SecurityContext()).sql.upper()
    with pytest.raises(AccessDenied):
        compile_query(catalog, query_of({"dimensions": ["rows.mine"]}), SecurityContext())
