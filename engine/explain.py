"""The plan in words."""

from __future__ import annotations

from sqlglot import exp

from engine.plan.nodes import AnyPart, Part, Plan, Series, StagePart, Tree
from engine.query.bound import BoundGroup, BoundQuery, BoundSegment, BoundTree


def explain(plan: Plan) -> str:
    """What is read, how it is joined and protected, aggregated and combined."""
    return "\n".join(_plan(plan))


def _plan(plan: Plan) -> list[str]:
    lines: list[str] = []
    several = len(plan.parts) > 1
    for number, part in enumerate(plan.parts, 1):
        lines += [f"Part {number}:"] if several else []
        lines += _part(plan, part)
    if several:
        by = _grain(plan) if plan.dimensions else "nothing: one row"
        lines.append(
            f"Combine the {len(plan.parts)} parts by {by}; NULL groups with NULL, a part lacking a group leaves NULL."
        )
    for fixed in plan.fixed:
        lines.append(f"Beside each row, what holds by {_grain(fixed.plan)}:")
        lines += [f"  {line}" for line in _plan(fixed.plan)]
    if plan.windows:
        lines.append(
            "Look at all rows together: " + ", ".join(_window(plan, tree) for tree in plan.windows.values()) + "."
        )
    for tree in plan.having:
        lines.append(f"Keep groups where {condition(tree)}.")
    if plan.order:
        lines.append(
            "Sort by " + ", ".join(f"{each.column} {'desc' if each.desc else 'asc'}" for each in plan.order) + "."
        )
    return lines


def _grain(plan: Plan) -> str:
    return ", ".join(each.column for each in plan.dimensions) or "all rows"


def _window(plan: Plan, tree: exp.Expr) -> str:
    partition = tree.args.get("partition_by") or ()
    names = [plan.dimensions[int(each.name[1:])].column for each in partition if each.name.startswith("@")]
    name = tree.this.name if isinstance(tree, exp.Window) else "a formula"
    return f"{name} within {', '.join(names) or 'all rows'}"


def _part(plan: Plan, part: AnyPart) -> list[str]:
    if isinstance(part, Series):
        return ["Every bucket of time, also those without rows."]
    if isinstance(part, StagePart):
        inner = [f"  {line}" for line in _plan(part.plan)]
        return [f"First by {_grain(part.plan)}:", *inner, f"Aggregate that by {_grain(plan)}."]
    return _rows(plan, part)


def _rows(plan: Plan, part: Part) -> list[str]:
    lines = _tree(plan.query, part.tree)
    lines += [f"Keep rows where {condition(each)}." for each in part.where]
    lines += [f"The condition {condition(each)} does not concern '{part.fact}'." for each in part.ignored]
    lines += [f"Count rows under a moved time of '{name}'." for name, _ in part.scope.shifts]
    grain = _grain(plan)
    if part.fact_key:
        lines.append(
            f"'{part.fact}' would be counted several times there: take each of its keys once for each {grain}."
        )
    if part.fact_tree is not None:
        lines += _tree(plan.query, part.fact_tree)
    if not part.leaves:
        return [*lines, f"List the distinct {grain}."]
    measures = ", ".join(f"{leaf.measure.full_name} ({leaf.measure.type})" for leaf in part.leaves)
    if plan.query.ungrouped:
        return [*lines, f"Show {measures}, ungrouped."]
    rolling = f", in a {part.scope.window.kind.replace('_', ' ')} window" if part.scope.window else ""
    return [*lines, f"Aggregate {measures} by {grain}{rolling}."]


def _tree(query: BoundQuery, tree: Tree) -> list[str]:
    lines = [f"Read '{tree.root}'{_guard(query, tree.root)}."]
    for edge in tree.edges:
        kept = "rows without a partner are dropped" if edge.restrict else "rows without a partner are kept"
        kind = edge.relationship.replace("_", " ")
        lines.append(f"Join '{edge.child}' to '{edge.parent}' ({kind}; {kept}){_guard(query, edge.child)}.")
    lines += [f"Compute '{sub.dimension}' for each row of '{sub.cube}' in a sub-query." for sub in tree.sub_queries]
    return lines


def _guard(query: BoundQuery, cube: str) -> str:
    rows = query.rows.of(cube)
    return f", only where {condition(rows)}" if rows is not None else ""


def condition(tree: BoundTree) -> str:
    """A condition in words; values are not told."""
    if isinstance(tree, BoundGroup):
        if not tree.filters:
            return "nothing is allowed" if tree.operator == "or" else "anything"
        return "(" + f" {tree.operator} ".join(condition(each) for each in tree.filters) + ")"
    if isinstance(tree, BoundSegment):
        return f"segment {tree.segment.full_name}"
    return f"{tree.member.full_name} {tree.operator} " + ("…" if tree.values else "")
