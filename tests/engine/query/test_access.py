"""Nobody sees a row or a member that his policies do not give him, on whatever way he asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from core.errors import AccessDenied, UnknownMember
from core.warehouse import Warehouse
from engine import Catalog, Query, SecurityContext, compile_query
from engine.model import load_texts
from engine.plan.builder import build
from engine.query.access import visible
from engine.query.bind import bind
from engine.query.lift import lift
from engine.query.request import Filter, Order
from engine.sql.render import render
from engine.sql.verify import verify
from tests.engine.asking import ask, script

_MODEL = """
cubes:
  - name: grades
    sql_table: grades
    joins:
      - {name: pupils, relationship: many_to_one, sql: "{CUBE}.pupil = {pupils}.id"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
    measures:
      - {name: count, type: count}
      - {name: points, type: sum, sql: points}
  - name: pupils
    sql_table: pupils
    final: true
    joins:
      - {name: schools, relationship: many_to_one, sql: "{CUBE}.school = {schools}.id"}
      - {name: visits, relationship: one_to_many, sql: "{CUBE}.id = {visits}.pupil"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: name, sql: name, type: string}
      - {name: school, sql: school, type: number}
      - {name: visits, sql: "{visits.count}", type: number, sub_query: true}
    measures:
      - {name: count, type: count}
      - {name: fees, type: sum, sql: fee}
    access_policy:
      - group: admin
        row_level: {filters: [{member: school, operator: equals, values: ["{security_context.school_id}"]}]}
      - group: teacher
        member_level: {excludes: [fees]}
        row_level: {filters: [{member: id, operator: in, values: ["{security_context.student_ids}"]}]}
      - {group: operator, row_level: {allow_all: true}}
      - {group: paused, conditions: [{if: "{security_context.active}"}]}
  - name: visits
    sql_table: visits
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: school, sql: school, type: number}
      - {name: kind, sql: kind, type: string}
    measures:
      - {name: count, type: count}
    access_policy:
      - {group: "*", row_level: {filters: [{or: [
          {member: school, operator: equals, values: ["{security_context.school_id}"]},
          {member: kind, operator: equals, values: [public]}]}]}}
  - name: copies
    sql: SELECT * FROM {pupils.sql()} WHERE fee > 0
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
  - name: schools
    sql_table: schools
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: name, sql: name, type: string}
views:
  - name: roll
    cubes:
      - {join_path: grades.pupils, includes: [name]}
      - {join_path: grades, includes: [count]}
    access_policy:
      - {group: admin, row_level: {filters: [{member: name, operator: notEquals, values: [Cy]}]}}
"""
_TABLES = """
CREATE TABLE schools (id Int64, name String) ENGINE = Memory;
INSERT INTO schools VALUES (1, 'North'), (2, 'South');
CREATE TABLE pupils (id Int64, school Int64, name String, fee Int64, version Int64)
  ENGINE = ReplacingMergeTree(version) ORDER BY id;
INSERT INTO pupils VALUES (1, 1, 'Ada', 10, 1), (2, 1, 'Bo', 20, 1), (3, 2, 'Cy', 40, 1);
INSERT INTO pupils VALUES (1, 1, 'Ada', 15, 2);
CREATE TABLE grades (id Int64, pupil Int64, points Int64) ENGINE = Memory;
INSERT INTO grades VALUES (1, 1, 5), (2, 1, 6), (3, 2, 7), (4, 3, 8), (5, 99, 9);
CREATE TABLE visits (id Int64, pupil Int64, school Int64, kind String) ENGINE = Memory;
INSERT INTO visits VALUES (1, 1, 1, 'own'), (2, 1, 2, 'own'), (3, 3, 2, 'own'), (4, 3, 2, 'public');
"""
_ADMIN = SecurityContext(frozenset({"admin"}), {"school_id": 1})
_TEACHER = SecurityContext(frozenset({"teacher"}), {"student_ids": [2, 3], "school_id": 1})
_OPERATOR = SecurityContext(frozenset({"operator"}), {})


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Pupils and visits are protected, grades and schools are not."""
    return load_texts({"model.yml": _MODEL}, strict=True)


@pytest.fixture
def store(bare_warehouse: Warehouse) -> Iterator[Warehouse]:
    """Two schools."""
    script(bare_warehouse, _TABLES)
    yield bare_warehouse


def _values(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows]


def test_everybody_sees_his_own_pupils(store: Warehouse, catalog: Catalog) -> None:
    query = Query(dimensions=("pupils.name",))
    assert _values(ask(store, catalog, query, _ADMIN)) == [("Ada",), ("Bo",)]
    assert _values(ask(store, catalog, query, _TEACHER)) == [("Bo",), ("Cy",)]
    assert _values(ask(store, catalog, query, _OPERATOR)) == [("Ada",), ("Bo",), ("Cy",)]


def test_a_caller_with_two_groups_sees_both_their_rows(store: Warehouse, catalog: Catalog) -> None:
    both = SecurityContext(frozenset({"admin", "teacher"}), {"school_id": 1, "student_ids": [3]})
    assert _values(ask(store, catalog, Query(measures=("pupils.count",)), both)) == [(3.0,)]


@pytest.mark.parametrize("attributes", [{}, {"school_id": None}, {"school_id": ""}])
def test_without_a_school_an_admin_sees_nothing(store: Warehouse, catalog: Catalog, attributes: dict[str, Any]) -> None:
    context = SecurityContext(frozenset({"admin"}), attributes)
    assert _values(ask(store, catalog, Query(measures=("pupils.count",)), context)) == [(0.0,)]


def test_a_teacher_without_pupils_sees_none(store: Warehouse, catalog: Catalog) -> None:
    context = SecurityContext(frozenset({"teacher"}), {"student_ids": []})
    assert _values(ask(store, catalog, Query(measures=("pupils.count",)), context)) == [(0.0,)]


def test_who_has_no_policy_is_refused(catalog: Catalog) -> None:
    with pytest.raises(AccessDenied):
        compile_query(catalog, Query(measures=("pupils.count",)), SecurityContext(frozenset({"student"})))


def test_a_protected_bridge_hides_what_lies_behind_it(store: Warehouse, catalog: Catalog) -> None:
    query = Query(measures=("grades.points",), dimensions=("schools.name",), order=(Order("schools.name"),))
    assert _values(ask(store, catalog, query, _ADMIN)) == [("North", 18.0)]
    assert _values(ask(store, catalog, query, _OPERATOR)) == [("North", 18.0), ("South", 8.0), (None, 9.0)]
    with pytest.raises(AccessDenied):
        compile_query(catalog, query, SecurityContext(frozenset({"student"})))


def test_a_filter_alone_brings_its_cubes_policy(store: Warehouse, catalog: Catalog) -> None:
    query = Query(measures=("grades.points",), filters=(Filter("pupils.name", "set"),))
    assert _values(ask(store, catalog, query, _ADMIN)) == [(18.0,)]


def test_sub_queries_count_only_what_the_caller_may_see(store: Warehouse, catalog: Catalog) -> None:
    query = Query(dimensions=("pupils.name", "pupils.visits"), order=(Order("pupils.name"),))
    assert _values(ask(store, catalog, query, _ADMIN)) == [("Ada", 1.0), ("Bo", 0.0)]
    assert _values(ask(store, catalog, query, _OPERATOR)) == [("Ada", 0.0), ("Bo", 0.0), ("Cy", 1.0)]


def test_a_cube_made_from_a_protected_one_keeps_its_filter(store: Warehouse, catalog: Catalog) -> None:
    assert _values(ask(store, catalog, Query(dimensions=("copies.id",)), _ADMIN)) == [(1.0,), (2.0,)]


def test_rows_multiplied_by_a_join_stay_behind_the_filter_and_count_once(store: Warehouse, catalog: Catalog) -> None:
    query = Query(measures=("pupils.fees",), dimensions=("visits.kind",), order=(Order("visits.kind"),))
    assert _values(ask(store, catalog, query, _ADMIN)) == [("own", 15.0), (None, 20.0)]


def test_excluded_members_are_refused_and_not_shown(catalog: Catalog) -> None:
    with pytest.raises(AccessDenied, match=r"hidden member: 'pupils\.fees'"):
        compile_query(catalog, Query(measures=("pupils.fees",)), _TEACHER)
    with pytest.raises(AccessDenied):
        compile_query(
            catalog, Query(measures=("pupils.count",), filters=(Filter("pupils.fees", "gt", ("1",)),)), _TEACHER
        )
    shown = visible(catalog, _TEACHER, catalog.cubes["pupils"])
    assert shown is not None and "fees" not in shown and "count" in shown
    assert visible(catalog, _TEACHER, catalog.cubes["schools"]) is None


@pytest.mark.parametrize(("active", "allowed"), [(True, True), (False, False), (None, False)])
def test_conditions_must_hold(catalog: Catalog, active: bool | None, allowed: bool) -> None:
    context = SecurityContext(frozenset({"paused"}), {"active": active})
    if allowed:
        assert compile_query(catalog, Query(measures=("pupils.count",)), context)
    else:
        with pytest.raises(AccessDenied):
            compile_query(catalog, Query(measures=("pupils.count",)), context)


def test_a_view_has_its_own_policy_beside_its_cubes(store: Warehouse, catalog: Catalog) -> None:
    query = Query(measures=("roll.count",), dimensions=("roll.name",), order=(Order("roll.name"),))
    everywhere = SecurityContext(frozenset({"admin", "operator"}), {"school_id": 1})
    assert _values(ask(store, catalog, query, everywhere)) == [("Ada", 2.0), ("Bo", 1.0), (None, 1.0)]
    with pytest.raises(AccessDenied):
        compile_query(catalog, query, _TEACHER)


def test_attribute_values_are_bound_and_never_part_of_the_sql(catalog: Catalog) -> None:
    evil = SecurityContext(frozenset({"admin"}), {"school_id": "1 OR 1=1"})
    with pytest.raises(Exception, match="number"):
        compile_query(catalog, Query(measures=("pupils.count",)), evil)
    one = compile_query(catalog, Query(measures=("pupils.count",)), _ADMIN)
    other = compile_query(
        catalog, Query(measures=("pupils.count",)), SecurityContext(frozenset({"admin"}), {"school_id": 2})
    )
    assert one.sql == other.sql and one.parameters != other.parameters and one.policy != other.policy


def test_the_verifier_refuses_sql_without_the_filter(catalog: Catalog) -> None:
    query = Query(measures=("grades.points",), dimensions=("pupils.name",))
    rendered = render(build(bind(catalog, lift(query, _ADMIN).shape)))
    scan = next(each for each in rendered.tree.find_all(exp.Var) if "WHERE" in each.name)
    bare = scan.name.partition(" WHERE ")[0]
    for without in (exp.Var(this=bare), sqlglot.parse_one(bare, dialect="clickhouse")):
        holder = scan.parent
        scan.replace(without)
        with pytest.raises(AccessDenied, match="without the row filter"):
            verify(rendered)
        without.replace(scan)
        assert scan.parent is holder
    assert verify(rendered) is rendered


def test_hidden_members_are_refused(catalog: Catalog) -> None:
    hidden = load_texts(
        {
            "m.yml": _MODEL.replace(
                "{name: fees, type: sum, sql: fee}", "{name: fees, type: sum, sql: fee, public: false}"
            )
        }
    )
    with pytest.raises(UnknownMember, match="You requested hidden member"):
        compile_query(hidden, Query(measures=("pupils.fees",)), _OPERATOR)
