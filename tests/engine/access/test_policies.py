"""Random policies of several groups: members, rows and masks as worked out by hand; no predicate can be left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from core.errors import AccessDenied, EduError
from core.warehouse import Warehouse
from engine import Catalog, SecurityContext, compile_query
from engine.model import load_texts
from engine.plan.builder import build
from engine.query.bind import bind
from engine.query.lift import lift
from engine.sql.render import Rendered, render
from engine.sql.verify import verify
from tests.engine.access.policies import MEMBERS, Rules, draw_rules, draw_tables, granted, left, model
from tests.engine.access.questions import draw_question
from tests.engine.asking import ask, insert, query_of, same_rows, script

NIGHTLY = os.environ.get("EDU_HYPOTHESIS") == "nightly"
MODELS, QUESTIONS = (1000, 30) if NIGHTLY else (60, 20)
_TABLES = """
CREATE TABLE schools (id Int64, title Nullable(String)) ENGINE = Memory;
CREATE TABLE pupils (id Int64, school Int64, rank Int64, fee Int64, name Nullable(String), room Nullable(Int64))
  ENGINE = Memory;
CREATE TABLE grades (id Int64, pupil Int64, school Int64, rank Int64, points Int64, mark Nullable(String))
  ENGINE = Memory;
"""


@pytest.fixture(scope="module")
def stores(clickhouse_folder: Any) -> Iterator[tuple[Warehouse, Warehouse]]:
    """All rows, and those that somebody may see."""
    made = [Warehouse(f"chdb://{clickhouse_folder}?database={name}", threads=1) for name in ("every", "some")]
    for store in made:
        script(store, _TABLES)
    yield made[0], made[1]
    for store, name in zip(made, ("every", "some"), strict=True):
        script(store, f"DROP DATABASE {name};\n")
        store.close()


def _fill(store: Warehouse, tables: dict[str, list[dict[str, Any]]]) -> None:
    for table, rows in tables.items():
        script(store, f"TRUNCATE TABLE {table};\n")
        if rows:
            insert(store, table, list(rows[0]), [list(row.values()) for row in rows])


@pytest.mark.timeout(3600 if NIGHTLY else 900)
@pytest.mark.parametrize("seed", range(MODELS))
def test_members_rows_and_masks_are_as_the_policies_say(seed: int, stores: tuple[Warehouse, Warehouse]) -> None:
    every, some = stores
    random = Random(seed)
    rules, tables = draw_rules(random), draw_tables(random)
    protected = load_texts({"m.yml": model(rules, masks=True)}, strict=True)
    bare = load_texts({"m.yml": model(rules, masks=False)}, strict=True)
    groups, schools = {"red", *random.choices(["green", "blue", "none"], k=1)}, random.sample([1, 2, 3], 2)
    context = SecurityContext(frozenset(groups), {"schools": schools})
    _fill(every, tables)
    for _ in range(QUESTIONS):
        query = draw_question(random, protected, lambda name: name.split(".")[1] in MEMBERS[name.split(".")[0]])
        assert query is not None
        asked = _asked(query)
        if not all(granted(rules, groups, name) for name in asked):
            with pytest.raises(AccessDenied):
                compile_query(protected, query_of(query), context)
            continue
        _fill(some, left(rules, groups, schools, asked, tables))
        got, wanted = _answer(every, protected, query, context), _answer(some, bare, query, SecurityContext())
        told = f"{groups} {schools}\n{query}\n{rules}\n{got}\n{wanted}"
        if isinstance(got, type) or isinstance(wanted, type):
            assert got == wanted, told
        else:
            rows = [[list(row.values()) for row in each] for each in (got, wanted)]
            assert same_rows(rows[0], rows[1], ordered=False), told


def _asked(query: dict[str, Any]) -> set[str]:
    names = {*query["measures"], *query["dimensions"], *query.get("segments", ())}
    filters = [leaf for each in query["filters"] for leaf in each.get("or", [each])]
    return (
        names | {each["member"] for each in filters} | {each["dimension"] for each in query.get("timeDimensions", ())}
    )


def _answer(store: Warehouse, catalog: Catalog, query: dict[str, Any], context: SecurityContext) -> Any:
    try:
        return ask(store, catalog, query, context)
    except EduError as error:
        return type(error)


def _rendered(random: Random, rules: Rules, catalog: Catalog) -> Rendered | None:
    query = draw_question(random, catalog, lambda name: name.split(".")[1] in MEMBERS[name.split(".")[0]])
    try:
        return render(build(bind(catalog, lift(query_of(query or {}), _context(random)).shape)))
    except EduError:
        return None


def _context(random: Random) -> SecurityContext:
    return SecurityContext(frozenset({"red", random.choice(["green", "blue"])}), {"schools": [1, 3]})


@pytest.mark.parametrize("seed", range(MODELS))
def test_no_row_filter_can_be_left_out_or_weakened(seed: int) -> None:
    random = Random(seed)
    rules = draw_rules(random)
    catalog = load_texts({"m.yml": model(rules, masks=True)}, strict=True)
    spoiled = 0
    for _ in range(QUESTIONS):
        rendered = _rendered(random, rules, catalog)
        if rendered is None:
            continue
        assert verify(rendered) is rendered
        for node, weaker in [*_weakened_trees(rendered), *_weakened_texts(rendered)]:
            kept = node.this
            node.set("this", weaker)
            with pytest.raises(AccessDenied, match="without the row filter"):
                verify(rendered)
            node.set("this", kept)
            spoiled += 1
    assert spoiled or all(each.column is None for some in rules.values() for each in some)


def _weakened_trees(rendered: Rendered) -> list[tuple[exp.Where, exp.Expr]]:
    """The WHERE of each protected cube's own SELECT, found by its form, and weaker conditions for it."""
    selects = [
        each for each in rendered.tree.find_all(exp.Select) if [type(one) for one in each.expressions] == [exp.Star]
    ]
    wheres = [each.args["where"] for each in selects if each.args.get("where") is not None]
    return [(where, weaker) for where in wheres for weaker in _weaker(where.this)]


def _weakened_texts(rendered: Rendered) -> list[tuple[exp.Subquery, exp.Var]]:
    """Each SELECT that is text already, and texts that ask for more, or that say the same somewhere else."""
    found = []
    for node in rendered.tree.find_all(exp.Var):
        if node.name.isidentifier():
            continue
        assert isinstance(node.parent, exp.Subquery)
        texts = [f"{node.name} OR TRUE", f"({node.name})", f"{node.name} UNION ALL {node.name}"]
        select = sqlglot.parse_one(node.name, dialect="clickhouse")
        where = select.args["where"]
        for weaker in _weaker(where.this):
            where.set("this", weaker)
            texts.append(select.sql("clickhouse"))
        select.set("where", None)
        texts.append(select.sql("clickhouse"))
        found += [(node.parent, exp.Var(this=text)) for text in texts]
    return found


def _weaker(condition: exp.Expr) -> Iterator[exp.Expr]:
    """Nothing instead of the condition, each of its parts left out, and the condition of somebody else."""
    condition = condition.copy()
    yield exp.true()
    inner = condition.this if isinstance(condition, exp.Paren) else condition
    if isinstance(inner, exp.And):
        yield inner.left.copy()
        yield inner.right.copy()
    if not isinstance(inner, exp.Boolean):
        yield exp.Not(this=condition.copy())
        yield exp.Or(this=condition.copy(), expression=exp.true())
