"""FILTER_PARAMS, FILTER_GROUP, SECURITY_CONTEXT and SQL_UTILS as markers, which the renderer fills in per question."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from engine.model.arguments import Argument
from engine.model.markers import CONTEXT, FILTERED, LOCAL
from engine.model.terms import Reference

ASKED = ("filter_params", "filter_group", "security_context", "utils")
"""The kinds of reference that depend on the question or on who asks."""
Spell = Callable[[str], exp.Expr]


def asked(reference: Reference, spell: Spell) -> exp.Expr:
    """The marker of a reference; `spell` reads the SQL of its argument where the reference stands."""
    if reference.kind == "security_context":
        return _context(reference, spell)
    if reference.kind == "utils":
        return _utility(reference, spell)
    parts = reference.parts or (reference,)
    return exp.Anonymous(this=FILTERED, expressions=[_condition(part, spell) for part in parts])


def _condition(reference: Reference, spell: Spell) -> exp.Tuple:
    argument = reference.argument or Argument("")
    name = f"{reference.path[0]}.{reference.member}"
    return exp.Tuple(expressions=[exp.Literal.string(name), *_spelled(argument, spell)])


def _context(reference: Reference, spell: Spell) -> exp.Expr:
    name = exp.Literal.string(".".join(reference.path))
    how = exp.Literal.string(reference.member or "unsafeValue")
    inner = _spelled(reference.argument, spell) if reference.argument else []
    return exp.Anonymous(this=CONTEXT, expressions=[name, how, *inner])


def _utility(reference: Reference, spell: Spell) -> exp.Expr:
    tree = spell((reference.argument or Argument("")).text)
    return exp.Anonymous(this=LOCAL if reference.member == "convertTz" else "encodeURLComponent", expressions=[tree])


def _spelled(argument: Argument, spell: Spell) -> list[exp.Expr]:
    return [spell(argument.text), exp.Literal.number(argument.count)]
