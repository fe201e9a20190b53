"""Who may see what: policies of the model applied to one caller. Whatever is missing denies."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import AccessDenied, Unanswerable
from engine.model.catalog import Catalog, Cube, View, ViewMember
from engine.model.lint import member_name
from engine.model.policies import condition_tree
from engine.model.rights import Attribute, Policy, PolicyFilter, PolicyGroup
from engine.query.bound import BoundFilter, BoundGroup, BoundTree
from engine.query.request import Slot, Value

NOTHING = BoundGroup("or", ())
"""The condition which no row meets."""


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
        if not granting:
            raise AccessDenied(f"You requested hidden member: '{owner.name}.{name}'.", member=f"{owner.name}.{name}")
        plain = tuple(policy for policy in granting if policy.member_level is None or name in policy.member_level)
        if not plain:
            problem = f"'{owner.name}.{name}' is masked for you; masked members cannot be read yet."
            raise Unanswerable(problem, member=f"{owner.name}.{name}")
        return plain

    def rows(self, owner: Cube | View, granted: Sequence[tuple[Policy, ...]]) -> BoundTree | None:
        """The row filter of a cube or view: any granting policy suffices for a member, all members must agree."""
        policies = self.policies(owner)
        if policies is None:
            return None
        if not policies:
            raise AccessDenied(f"You may not read '{owner.name}'.", member=owner.name)
        unlike = {tuple(map(id, each)): each for each in granted or [policies]}
        trees = (self._any(owner, each) for each in unlike.values())
        found = dict.fromkeys(tree for tree in trees if tree is not None)
        if not found:
            return None
        return next(iter(found)) if len(found) == 1 else BoundGroup("and", tuple(found))

    def _any(self, owner: Cube | View, policies: tuple[Policy, ...]) -> BoundTree | None:
        if any(policy.row_filters is None for policy in policies):
            return None
        trees = tuple(self._tree(owner, policy.row_filters) for policy in policies if policy.row_filters)
        return trees[0] if len(trees) == 1 else BoundGroup("or", trees)

    def _tree(self, owner: Cube | View, node: PolicyGroup | PolicyFilter) -> BoundTree:
        if isinstance(node, PolicyGroup):
            return BoundGroup(node.operator, tuple(self._tree(owner, each) for each in node.filters))
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


def _grants(policy: Policy, name: str) -> bool:
    levels = [level for level in (policy.member_level, policy.member_masking) if level is not None]
    return not levels or any(name in level for level in levels)


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
    names = [*owner.measures, *owner.dimensions, *owner.segments]
    return frozenset(name for name in names if any(_grants(policy, name) for policy in policies))


def _presence(attributes: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Slot | None]]:
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            yield from _presence(value, f"{prefix}{name}.")
        else:
            kind = "bool:false" if value is False else "text"
            yield prefix + name, None if value in (None, "", [], ()) else Slot(0, kind)
