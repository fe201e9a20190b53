"""The plan in words."""

from __future__ import annotations

from engine.plan.nodes import Part, Plan, Tree
from engine.query.bound import BoundGroup, BoundQuery, BoundSegment, BoundTree


def explain(plan: Plan) -> str:
    """What is read, how it is joined and protected, aggregated and combined."""
    lines: list[str] = []
    for number, part in enumerate(plan.parts, 1):
        lines += _part(plan, part, number if len(plan.parts) > 1 else None)
    if len(plan.parts) > 1:
        by = ", ".join(each.column for each in plan.dimensions) or "nothing: one row"
        lines.append(
            f"Combine the {len(plan.parts)} parts by {by}; NULL groups with NULL, a part lacking a group leaves NULL."
        )
    for tree in plan.having:
        lines.append(f"Keep groups where {condition(tree)}.")
    if plan.order:
        lines.append(
            "Sort by " + ", ".join(f"{each.column} {'desc' if each.desc else 'asc'}" for each in plan.order) + "."
        )
    return "\n".join(lines)


def _part(plan: Plan, part: Part, number: int | None) -> list[str]:
    lines = [f"Part {number}:"] if number else []
    lines += _tree(plan.query, part.tree)
    lines += [f"Keep rows where {condition(each)}." for each in part.where]
    for each in plan.ignored.get(part.fact or "", ()):
        lines.append(f"The condition {condition(each)} does not concern '{part.fact}'.")
    grain = ", ".join(each.column for each in plan.dimensions) or "all rows"
    if part.fact_key:
        lines.append(
            f"'{part.fact}' would be counted several times there: take each of its keys once for each {grain}."
        )
    if part.fact_tree is not None:
        lines += _tree(plan.query, part.fact_tree)
    if part.leaves:
        measures = ", ".join(f"{leaf.measure.full_name} ({leaf.measure.type})" for leaf in part.leaves)
        lines.append(
            f"Aggregate {measures} by {grain}." if not plan.query.ungrouped else f"Show {measures}, ungrouped."
        )
    else:
        lines.append(f"List the distinct {grain}.")
    return lines


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
