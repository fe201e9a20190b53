"""A cube's own SELECT spelled out: other cubes' tables, own members, and conditions that depend on the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from core.errors import ModelError
from engine.model.asked import ASKED, asked
from engine.model.catalog import Dimension, Segment
from engine.model.expansion import Expansion
from engine.model.markers import identifier, plain_table, unmasked
from engine.model.references import SELF, marked, parse_condition
from engine.model.terms import Reference, Source, Sql

if TYPE_CHECKING:
    from engine.model.expand import Expander


def select_of(expander: Expander, cube_name: str, sql: Sql) -> exp.Expr:
    """The SELECT of a cube; other cubes' tables in it become `__scan__cube`, `SELECT * FROM t` becomes t."""
    return plain_table(_Selection(expander, cube_name).spelled(sql))


class _Selection:
    """The work on one SELECT: its own columns stand bare, other cubes' under the alias that they have in it."""

    def __init__(self, expander: Expander, cube_name: str) -> None:
        self.expander = expander
        self.cube = expander.cubes[cube_name]
        self.aliases: dict[str, str] = {}

    def spelled(self, sql: Sql) -> exp.Expr:
        """The tree with every reference replaced."""
        root = exp.Paren(this=sql.tree.copy())
        self.aliases |= Expansion(self.expander, self.cube).nested(root, sql)
        for column in list(root.find_all(exp.Column)):
            number = marked(column.table) if column.table else None
            if number is not None:
                column.set("table", self._table(sql.references[number], sql.source))
                continue
            number = marked(column.name)
            if number is not None and not column.table:
                column.replace(self._replacement(sql.references[number], sql.source))
        tree: exp.Expr = root.this
        tree.pop()
        return tree

    def _table(self, reference: Reference, source: Source) -> exp.Identifier | None:
        name = (*reference.path, *((reference.member,) if reference.member else ()))[-1]
        if name in (SELF, self.cube.name):
            return None
        return identifier(self._alias(name, source))

    def _alias(self, name: str, source: Source) -> str:
        if name not in self.aliases:
            raise _mistake(f"'{name}' is not read here; put it into FROM as {{{name}.sql()}}", source)
        return self.aliases[name]

    def _replacement(self, reference: Reference, source: Source) -> exp.Expr:
        if reference.kind in ASKED:
            self.expander.asked(reference, source)
            return asked(reference, lambda text: self.spelled(parse_condition(text, source, bare=True)))
        return self._member(reference, source)

    def _member(self, reference: Reference, source: Source) -> exp.Expr:
        owner = (reference.path or (SELF,))[-1]
        cube = self.cube if owner == SELF else self.expander.cubes.get(owner)
        member = cube.member(reference.member or "") if cube else None
        if cube is None or not isinstance(member, Dimension | Segment):
            raise _mistake(f"there is no dimension '{owner}.{reference.member}'".replace(SELF, self.cube.name), source)
        inner = self.expander.member(member)
        if inner.tree is None or len(inner.paths) > 1 or inner.sub_queries:
            raise _mistake(f"'{member.full_name}' needs a join, which a cube's own sql cannot have", source)
        alias = None if cube is self.cube else identifier(self._alias(cube.name, source))
        root = exp.Paren(this=unmasked(inner.tree.copy()))
        for column in list(root.find_all(exp.Column)):
            if column.table == cube.alias:
                column.set("table", alias.copy() if alias else None)
        return root


def _mistake(problem: str, source: Source) -> ModelError:
    return ModelError(f"{source}: sql: {problem}.", file=source.file, line=source.line, key="sql")
