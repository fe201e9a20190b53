"""Who may see what: policies of the model applied to one caller. Whatever is missing denies."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import AccessDenied
from engine.model.catalog import Catalog, Cube, View, ViewMember
from engine.model.kept import Kept
from engine.model.lint import member_name
from engine.model.policies import condition_tree
from engine.model.rights import Attribute, Policy, PolicyFilter, PolicyGroup, Tenant
from engine.query.bound import BoundFilter, BoundGroup, BoundTree
from engine.query.request import Slot, Value

NOTHING = BoundGroup("or", ())
"""The condition which no row meets."""
TENANTS = "school_ids"
"""The attribute of the caller with which a cube's tenant is compared."""


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """The caller: his groups (roles) and what policies may compare rows with (`user_id`, `school_id`, …)."""

    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Access:
    """The policies of a catalog as they bear on one shape of caller; attribute values are slots."""

    def __init__(self, catalog: Catalog, groups: frozenset[str], attributes: Iterable[tuple[str, Slot | None]]) -> None:
        self.catalog = catalog
        self.groups = groups
        self.attributes = dict(attributes)
        self._rows: dict[tuple[str, frozenset[tuple[int, ...]]], BoundTree | None] = {}
        self._known: dict[str, tuple[Policy, ...]] = {}

    def policies(self, owner: Cube | View) -> tuple[Policy, ...] | None:
        """The policies that apply to the caller; None where the cube or view has no policy at all."""
        if not owner.policies:
            return None
        known = self._known.get(owner.name)
        if known is None:
            known = self._known[owner.name] = tuple(policy for policy in owner.policies if self._applies(policy))
        return known

    def _applies(self, policy: Policy) -> bool:
        if "*" not in policy.groups and not (policy.groups & self.groups):
            return False
        return all(self._holds(condition_tree(text)) for text in policy.conditions)

    def _holds(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BoolOp):
            results = [self._holds(value) for value in node.values]
            return all(results) if isinstance(node.op, ast.And) else any(results)
        if isinstance(node, ast.UnaryOp):
            return not self._holds(node.operand)
        slot = self.attributes.get(".".join(_dotted(node)[1:]))
        return slot is not None and slot.kind != "bool:false"

    def check_member(self, owner: Cube | View, name: str) -> tuple[Policy, ...] | None:
        """The policies that grant the member; AccessDenied if there are policies and none does."""
        policies = self.policies(owner)
        if policies is None:
            return None
        if not policies:
            raise AccessDenied(f"You may not read '{owner.name}'.", member=f"{owner.name}.{name}")
        granting = tuple(policy for policy in policies if _grants(policy, name))
        if name in owner.segments:  # a condition has no mask: to choose rows by it would tell what it says
            granting = tuple(policy for policy in granting if policy.shows(name))
        if not granting:
            raise AccessDenied(f"You requested hidden member: '{owner.name}.{name}'.", member=f"{owner.name}.{name}")
        return granting

    def shown(self, owner: Cube | View, name: str) -> BoundTree | None:
        """The rows which show the member's own value, all others its mask; None if all do."""
        granting = [policy for policy in self.policies(owner) or () if _grants(policy, name)]
        plain = tuple(policy for policy in granting if policy.shows(name))
        if len(plain) == len(granting):
            return None
        return self._any(owner, plain) if plain else NOTHING

    def rows(self, owner: Cube | View, granted: Sequence[tuple[Policy, ...]]) -> BoundTree | None:
        """The row filter of a cube or view: any granting policy suffices for a member, all members must agree."""
        key = owner.name, frozenset(tuple(map(id, each)) for each in granted)
        if key not in self._rows:
            self._rows[key] = self._filter(owner, granted)
        return self._rows[key]

    def _filter(self, owner: Cube | View, granted: Sequence[tuple[Policy, ...]]) -> BoundTree | None:
        policies = self.policies(owner)
        tenant = owner.tenant if isinstance(owner, Cube) else None
        if policies is None:
            return self._of_tenant(owner, tenant) if isinstance(owner, Cube) and tenant is not None else None
        if not policies:
            raise AccessDenied(f"You may not read '{owner.name}'.", member=owner.name)
        unlike = {tuple(map(id, each)): each for each in granted or [policies]}
        found: dict[BoundTree, None] = {}
        for each in unlike.values():
            if isinstance(owner, Cube) and tenant is not None and not any(policy.allow_all for policy in each):
                found[self._of_tenant(owner, tenant)] = None
            tree = self._any(owner, each)
            if tree is not None:
                found[tree] = None
        if NOTHING in found:
            return NOTHING
        if not found:
            return None
        return next(iter(found)) if len(found) == 1 else BoundGroup("and", tuple(found))

    def _of_tenant(self, cube: Cube, tenant: Tenant) -> BoundTree:
        slot = self.attributes.get(TENANTS)
        if slot is None:
            return NOTHING
        dimension = cube.dimensions[member_name(tenant.member, cube.name).partition(".")[2]]
        own = BoundFilter((cube.name,), dimension, "equals", (slot,))
        return BoundGroup("or", (own, BoundFilter((cube.name,), dimension, "notSet", ()))) if tenant.shared else own

    def _any(self, owner: Cube | View, policies: tuple[Policy, ...]) -> BoundTree | None:
        if any(policy.row_filters is None for policy in policies):
            return None
        trees = tuple(dict.fromkeys(self._tree(owner, each.row_filters) for each in policies if each.row_filters))
        some = tuple(tree for tree in trees if tree != NOTHING)
        if not some:
            return NOTHING
        return some[0] if len(some) == 1 else BoundGroup("or", some)

    def _tree(self, owner: Cube | View, node: PolicyGroup | PolicyFilter) -> BoundTree:
        if isinstance(node, PolicyGroup):
            trees = tuple(self._tree(owner, each) for each in node.filters)
            return trees[0] if len(trees) == 1 else BoundGroup(node.operator, trees)
        full = member_name(node.member, owner.name)
        found = self.catalog.member(full)
        path = found.path if isinstance(found, ViewMember) else (owner.name,)
        member = self.catalog.primitive(full)
        values = self._values(node)
        if values is None or not hasattr(member, "type"):
            return NOTHING
        if len(values) > 1 and any(isinstance(each, Slot) and each.kind.startswith("list:") for each in values):
            leaves = [BoundFilter(path, member, node.operator, (each,)) for each in values]  # type: ignore[arg-type]
            return BoundGroup("and" if node.operator.startswith("not") else "or", tuple(leaves))
        return BoundFilter(path, member, node.operator, values)  # type: ignore[arg-type]

    def _values(self, node: PolicyFilter) -> tuple[Value, ...] | None:
        """The values with the caller's attributes in them; None if he lacks one."""
        values: list[Value] = []
        for value in node.values:
            if isinstance(value, Attribute):
                slot = self.attributes.get(".".join(value.path))
                if slot is None:
                    return None
                values.append(slot)
            else:
                values.append(value)
        return tuple(values)


_known: Kept[Hashable, Access] = Kept(500)


def access_of(catalog: Catalog, groups: frozenset[str], attributes: tuple[tuple[str, Slot | None], ...]) -> Access:
    """The one `Access` for callers of this shape, so that each of their filters is worked out once."""
    return _known.get(catalog, (groups, attributes), lambda: Access(catalog, groups, attributes))


def _grants(policy: Policy, name: str) -> bool:
    return policy.shows(name) or policy.masks(name)


def _dotted(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else []


def visible(catalog: Catalog, context: SecurityContext, owner: Cube | View) -> frozenset[str] | None:
    """The names of the members which `/meta` may show to the caller; None means all public ones."""
    access = Access(catalog, context.groups, _presence(context.attributes))
    policies = access.policies(owner)
    if policies is None:
        return None
    names = [*owner.measures, *owner.dimensions]
    found = [name for name in names if any(_grants(policy, name) for policy in policies)]
    return frozenset((*found, *(name for name in owner.segments if any(policy.shows(name) for policy in policies))))


def may_ask(catalog: Catalog, context: SecurityContext, name: str) -> bool:
    """Whether `/meta` may name the member `cube.name` or `view.name` to the caller."""
    owner = catalog.cubes.get(name.partition(".")[0]) or catalog.views.get(name.partition(".")[0])
    member = owner.member(name.split(".")[1]) if owner is not None and "." in name else None
    if owner is None or member is None or not (owner.shown.public and member.shown.public):
        return False
    allowed = visible(catalog, context, owner)
    return allowed is None or member.name in allowed


def shape_of(context: SecurityContext) -> tuple[tuple[str, Slot | None], ...]:
    """Which attributes the caller has, whatever their values: what `visible` looks at beside his groups."""
    return tuple(_presence(context.attributes))


def _presence(attributes: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Slot | None]]:
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            yield from _presence(value, f"{prefix}{name}.")
        else:
            kind = "bool:false" if value is False else "text"
            yield prefix + name, None if value in (None, "", [], ()) else Slot(0, kind)
