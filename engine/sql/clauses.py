"""The small pieces of a SELECT: columns, aliases, FROM, WHERE, GROUP BY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from sqlglot import exp

from engine.model.markers import identifier


@dataclass(slots=True)
class Body:
    """Rows before they are grouped by `natives`: aggregates by name, and FROM … WHERE."""

    natives: list[exp.Expr]
    values: dict[str, exp.Expr]
    source: exp.Select


def column(name: str, table: str) -> exp.Column:
    """`table.name`."""
    return exp.Column(this=identifier(name), table=identifier(table))


def named(value: exp.Expr, alias: str) -> exp.Alias:
    """`value AS alias`."""
    return exp.Alias(this=value, alias=exp.to_identifier(alias))


def aliased(select: exp.Expr, alias: str) -> exp.Subquery:
    """`(select) AS alias`."""
    return exp.Subquery(this=select, alias=exp.TableAlias(this=identifier(alias)))


def from_(select: exp.Expr, alias: str) -> exp.Select:
    """`FROM (select) AS alias`, without outputs yet."""
    source = exp.Select()
    source.set("from_", exp.From(this=aliased(select, alias)))
    return source


def where(select: exp.Select, conditions: Sequence[exp.Expr]) -> exp.Select:
    """The SELECT of the rows for which all conditions hold."""
    if conditions:
        select.set("where", exp.Where(this=all_of(conditions)))
    return select


def all_of(conditions: Sequence[exp.Expr]) -> exp.Expr:
    """The conditions joined by AND."""
    result = conditions[0]
    for each in conditions[1:]:
        result = exp.And(this=result, expression=each)
    return result


def grouped(outputs: Sequence[exp.Expr], source: exp.Select, group: Sequence[exp.Expr]) -> exp.Select:
    """The source with these outputs, grouped."""
    source.set("expressions", list(outputs))
    if group:
        source.set("group", exp.Group(expressions=[each.copy() for each in group]))
    return source


def bare(name: str) -> str:
    """The name of a count before a group without rows got its 0."""
    return f"{name}?"


def known(tree: exp.Expr, values: Mapping[str, exp.Expr], leaves: Set[str]) -> exp.Expr:
    """The tree filled, NULL in a group that none of its leaves has rows in: other groups do not look at its zeros."""
    names = dict.fromkeys(node.name for node in tree.find_all(exp.Placeholder) if node.name in leaves)
    if not any(bare(name) in values for name in names):
        return filled(tree, values)
    seen: exp.Expr | None = None
    for name in names:
        here = exp.Not(this=exp.Is(this=values.get(bare(name), values[name]).copy(), expression=exp.Null()))
        seen = exp.Or(this=seen, expression=here) if seen is not None else here
    return exp.Case(ifs=[exp.If(this=seen, true=filled(tree, values))])


def filled(tree: exp.Expr, values: Mapping[str, exp.Expr]) -> exp.Expr:
    """The tree with its placeholders replaced by values of their names."""
    if isinstance(tree, exp.Placeholder) and tree.name in values:
        return values[tree.name].copy()
    root = exp.Paren(this=tree.copy())
    for node in list(root.find_all(exp.Placeholder)):
        if node.name in values:
            node.replace(values[node.name].copy())
    result = root.this
    result.pop()
    return result  # type: ignore[no-any-return]
