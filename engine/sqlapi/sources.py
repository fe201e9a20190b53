"""FROM: the cubes of a question under the names that the SQL gives them, and by which joins they are reached.

`CROSS JOIN`, a comma and `JOIN … ON a.__cubeJoinField = b.__cubeJoinField` all mean the join of the model, which keeps
rows without a partner. Where the ON follows a join of the model, it also chooses that one (`joinHints`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from core.errors import UnknownMember, nearest
from engine.model.catalog import Catalog, Cube, View
from engine.query.access import SecurityContext, visible
from engine.sqlapi.reading import place, refused

JOIN_FIELD = "__cubejoinfield"
_JOIN_HINT = "Write CROSS JOIN, or JOIN b ON a.__cubeJoinField = b.__cubeJoinField; the model knows the columns."


@dataclass(slots=True)
class Sources:
    """What FROM names: alias → cube or view, where each stands; `edges` are the joins that the SQL spells out."""

    owners: dict[str, Cube | View] = field(default_factory=dict)
    nodes: dict[str, exp.Expr] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def find(self, name: exp.Identifier) -> Cube | View | None:
        """The cube or view of that alias; without quotes the case does not matter."""
        key = matching(name.name, self.owners, quoted=bool(name.args.get("quoted")))
        return self.owners[key] if key is not None else None

    def hints(self) -> list[list[str]]:
        """Chains of joins of the model, from the first cube on, that the ON clauses follow."""
        parents = {child: parent for parent, child in self.edges if child in getattr(self._named(parent), "joins", ())}
        last = [name for name in parents if name not in parents.values()]
        return [_chain(name, parents) for name in last]

    def _named(self, name: str) -> Cube | View | None:
        return next((owner for owner in self.owners.values() if owner.name == name), None)


def matching(name: str, known: Mapping[str, object] | list[str], *, quoted: bool) -> str | None:
    """The known name that is meant: itself, else the only one that differs in case alone."""
    if name in known or quoted:
        return name if name in known else None
    found = [each for each in known if each.lower() == name.lower()]
    return found[0] if len(found) == 1 else None


def read_sources(tree: exp.Select, catalog: Catalog, context: SecurityContext) -> Sources:
    """The sources of a SELECT; UnknownMember, or UnsupportedSql for what is no cube and no view."""
    start = tree.args.get("from_")
    if start is None:
        raise refused("There is no FROM.", tree, "SELECT … FROM a cube or a view.")
    sources = Sources()
    _add(sources, start.this, catalog, context)
    for join in tree.args.get("joins") or ():
        _join(sources, join, catalog, context)
    views = [alias for alias, owner in sources.owners.items() if isinstance(owner, View)]
    if views and len(sources.owners) > 1:
        hint = "Ask the view alone, or join cubes."
        raise refused("A view is not joined: it fixes its joins itself.", sources.nodes[views[0]], hint)
    return sources


def _add(sources: Sources, table: exp.Expr, catalog: Catalog, context: SecurityContext) -> str:
    """The name under which the table of one FROM or JOIN is known from now on."""
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        problem = "FROM names cubes and views; functions and subselects are not read."
        raise refused(problem, table, "SELECT … FROM a cube or a view.")
    schema = table.args.get("db")
    if schema is not None and schema.name.lower() != "public":
        raise refused(f"There is no schema '{schema.name[:100]}'.", table, "Cubes and views stand in no schema.")
    owner = _owner(table.this, catalog, context)
    alias = table.args.get("alias")
    name = alias.name if alias is not None else owner.name
    if name in sources.owners or owner in sources.owners.values():
        raise refused(f"'{owner.name}' stands twice in FROM.", table, "A cube is joined once.")
    sources.owners[name], sources.nodes[name] = owner, table
    return owner.name


def _owner(name: exp.Identifier, catalog: Catalog, context: SecurityContext) -> Cube | View:
    known: dict[str, Cube | View] = {**catalog.cubes, **catalog.views}
    found = matching(name.name, known, quoted=bool(name.args.get("quoted")))
    if found is not None:
        return known[found]
    seen = [each.name for each in known.values() if each.shown.public and _any(catalog, context, each)]
    close = nearest(name.name[:100], seen)
    hint = f"Did you mean {' or '.join(close)}?" if close else None
    problem = f"There is no cube or view '{name.name[:100]}'."
    raise UnknownMember(problem, hint=hint, nearest=close, member=name.name[:100], **place(name))


def _any(catalog: Catalog, context: SecurityContext, owner: Cube | View) -> bool:
    allowed = visible(catalog, context, owner)
    return allowed is None or bool(allowed)


def _join(sources: Sources, join: exp.Join, catalog: Catalog, context: SecurityContext) -> None:
    side, kind = str(join.args.get("side") or "").upper(), str(join.args.get("kind") or "").upper()
    if side not in ("", "LEFT") or kind not in ("", "CROSS", "INNER", "OUTER"):
        problem = f"{side or kind} JOIN is not understood: the model says how cubes are joined."
        raise refused(problem, join.this, _JOIN_HINT)
    known = set(sources.owners)
    name = _add(sources, join.this, catalog, context)
    condition = join.args.get("on")
    if condition is None and (side or kind == "INNER"):
        raise refused("This JOIN has no ON.", join.this, _JOIN_HINT)
    if condition is not None:
        sources.edges.append(_edge(sources, condition, known, name))


def _edge(sources: Sources, condition: exp.Expr, known: set[str], name: str) -> tuple[str, str]:
    """The cube from which a join comes, and the new one to which it leads."""
    condition = condition.unnest()
    if not isinstance(condition, exp.EQ):
        raise refused("Cubes are joined as the model says, not by columns.", condition, _JOIN_HINT)
    found = []
    for side in (condition.left, condition.right):
        table = side.args.get("table") if isinstance(side, exp.Column) and side.name.lower() == JOIN_FIELD else None
        owner = sources.find(table) if table is not None else None
        if owner is None:
            raise refused("Cubes are joined as the model says, not by columns.", condition, _JOIN_HINT)
        found.append(owner.name)
    earlier = {sources.owners[alias].name for alias in known}
    if set(found) != {name, *(set(found) & earlier)} or len(set(found)) != 2:
        raise refused("The ON of a JOIN names the new cube and an earlier one.", condition, _JOIN_HINT)
    parent = next(each for each in found if each != name)
    return parent, name


def _chain(name: str, parents: Mapping[str, str]) -> list[str]:
    chain = [name]
    while (parent := parents.get(chain[0])) is not None:
        chain.insert(0, parent)
    return chain
