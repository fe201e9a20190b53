"""Small pieces of formulas: placeholders, aggregates within, cases of one type."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from core.errors import Unanswerable


def of_one_type(case: exp.Expr) -> exp.Expr:
    """The branches of a case over measures as floats: signed and unsigned numbers have no type in common."""
    case = case.copy()
    for branch in case.args.get("ifs") or ():
        branch.set("true", exp.Anonymous(this="toFloat64", expressions=[branch.args["true"]]))
    if case.args.get("default") is not None:
        case.set("default", exp.Anonymous(this="toFloat64", expressions=[case.args["default"]]))
    return case


def is_aggregated(node: exp.Expr) -> bool:
    """Whether an aggregate stands around the node that is no window over the groups."""
    around = node.find_ancestor(exp.AggFunc)
    return around is not None and not isinstance(around.parent, exp.Window)


def aggregated(name: str) -> Unanswerable:
    """The refusal of a measure that aggregates another one without a grain to do it at."""
    return Unanswerable(
        f"'{name}' aggregates a measure.",
        hint="Let it be multi_stage, of type number_agg or of the aggregate's own type, with add_group_by.",
        member=name,
    )


def placeholder(name: str) -> exp.Placeholder:
    """What stands for a leaf, a dimension (`@n`), a fixed value or a window."""
    return exp.Placeholder(this=name)


def placeholders(tree: exp.Expr | None) -> list[str]:
    """The names that an expression refers to."""
    return [node.name for node in tree.find_all(exp.Placeholder)] if tree is not None else []


def outermost_aggregates(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The aggregates in an expression that stand in no other one."""
    if isinstance(tree, exp.AggFunc):
        yield tree
        return
    for child in tree.iter_expressions():
        yield from outermost_aggregates(child)
