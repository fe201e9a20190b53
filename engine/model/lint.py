"""Checks that need the whole model: join keys, drill members, hierarchies, policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.errors import nearest
from engine.model.catalog import Cube, Expanded, View
from engine.model.rights import Policy, PolicyFilter, PolicyGroup
from engine.model.schema import Mistakes
from engine.model.terms import Source


def check_model(
    cubes: Mapping[str, Cube], views: Mapping[str, View], expanded: Mapping[str, Expanded], mistakes: Mistakes
) -> None:
    """Note what cannot work although every single key is right."""
    for cube in cubes.values():
        _drill_members(cube, cubes, mistakes)
        _hierarchies(cube, cubes, mistakes)
        _keys(cube, cubes, mistakes)
        _policies(cube, expanded, mistakes)
        _tenant(cube, expanded, mistakes)
    for view in views.values():
        for policy in view.policies:
            _policy_members(policy, view, mistakes)


def _drill_members(cube: Cube, cubes: Mapping[str, Cube], mistakes: Mistakes) -> None:
    for measure in cube.measures.values():
        for name in measure.drill_members:
            owner, member = _split(name, cube)
            if owner not in cubes or cubes[owner].member(member) is None:
                _missing(mistakes, measure.source, "drill_members", name, cubes)


def _hierarchies(cube: Cube, cubes: Mapping[str, Cube], mistakes: Mistakes) -> None:
    for hierarchy in cube.hierarchies.values():
        for level in hierarchy.levels:
            owner, _, name = level.rpartition(".")
            owner = owner.split(".")[-1]
            if owner not in cubes or name not in cubes[owner].dimensions:
                _missing(mistakes, hierarchy.source, "levels", level, cubes)


def _keys(cube: Cube, cubes: Mapping[str, Cube], mistakes: Mistakes) -> None:
    for dimension in cube.dimensions.values():
        name = dimension.extra.get("key")
        if isinstance(name, str):
            owner, member = _split(name, cube)
            if owner not in cubes or member not in cubes[owner].dimensions:
                _missing(mistakes, dimension.source, "key", name, cubes)


def _split(name: str, cube: Cube) -> tuple[str, str]:
    parts = name.strip("{}").split(".")
    owner = parts[-2] if len(parts) > 1 else cube.name
    return (cube.name if owner in ("CUBE", "TABLE") else owner), parts[-1]


def _policies(cube: Cube, expanded: Mapping[str, Expanded], mistakes: Mistakes) -> None:
    for policy in cube.policies:
        _policy_members(policy, cube, mistakes)
        for leaf in policy_leaves(policy.row_filters):
            name = member_name(leaf.member, cube.name)
            spelled = expanded.get(name)
            if spelled is not None and (len(spelled.paths) > 1 or spelled.sub_queries):
                problem = f"a row filter must name a member of {cube.name} that needs no join; '{leaf.member}' does."
                mistakes.add(policy.source, problem, key="row_level")


def _tenant(cube: Cube, expanded: Mapping[str, Expanded], mistakes: Mistakes) -> None:
    """Data of persons stands behind policies and belongs to a tenant."""
    if cube.tenant is not None:
        name = member_name(cube.tenant.member, cube.name)
        spelled = expanded.get(name)
        if name.partition(".")[2] not in cube.dimensions or not name.startswith(f"{cube.name}."):
            close = nearest(cube.tenant.member, list(cube.dimensions))
            hint = f"Did you mean '{close[0]}'?" if close else None
            mistakes.add(cube.tenant.source, f"'{cube.name}' has no dimension '{cube.tenant.member}'.", hint=hint)
        elif spelled is not None and (len(spelled.paths) > 1 or spelled.sub_queries):
            mistakes.add(cube.tenant.source, "a tenant is a dimension that needs no join.", key="tenant")
        if not cube.policies:
            hint = "Say who may read the cube: access_policy: [{group: …, row_level: …}]."
            mistakes.add(cube.tenant.source, "a cube with a tenant needs an access_policy.", key="tenant", hint=hint)
    for each in cube.dimensions.values():
        if each.personal and (cube.tenant is None or not cube.policies):
            lacking = "no access_policy" if cube.tenant is not None else "no tenant"
            problem = f"'{each.full_name}' is personal, but '{cube.name}' has {lacking}."
            hint = "Add tenant: the dimension that says whose rows they are; and an access_policy."
            mistakes.add(each.source, problem, key="personal", hint=hint)


def maskable(cubes: Mapping[str, Cube], views: Mapping[str, View]) -> frozenset[str]:
    """The full names of the cubes' members which some policy, of a cube or of a view, masks."""
    found = {
        f"{cube.name}.{name}"
        for cube in cubes.values()
        for policy in cube.policies
        if policy.member_masking is not None
        for name in (*cube.dimensions, *cube.measures)
        if policy.masks(name)
    }
    found |= {
        member.alias_member
        for view in views.values()
        for policy in view.policies
        if policy.member_masking is not None
        for member in (*view.dimensions.values(), *view.measures.values())
        if policy.masks(member.name)
    }
    return frozenset(found)


def _policy_members(policy: Policy, owner: Cube | View, mistakes: Mistakes) -> None:
    levels = [level for level in (policy.member_level, policy.member_masking) if level]
    named = [name for level in levels for name in (*(level.includes or ()), *level.excludes)]
    named += [leaf.member for leaf in policy_leaves(policy.row_filters)]
    for name in named:
        full = member_name(name, owner.name)
        if name not in ("", "*") and (
            not full.startswith(f"{owner.name}.") or owner.member(full.partition(".")[2]) is None
        ):
            close = nearest(name, [*owner.measures, *owner.dimensions, *owner.segments])
            hint = f"Did you mean '{close[0]}'?" if close else None
            mistakes.add(policy.source, f"'{owner.name}' has no member '{name}'.", key="access_policy", hint=hint)


def member_name(name: str, owner: str) -> str:
    """The full name of a member which a policy may call `m`, `CUBE.m`, `{CUBE}.m`, `{CUBE.m}` or `cube.m`."""
    parts = name.replace("{", "").replace("}", "").split(".")
    head = parts[-2] if len(parts) > 1 else owner
    return f"{owner if head in ('CUBE', 'TABLE') else head}.{parts[-1]}"


def policy_leaves(group: PolicyGroup | None) -> Iterator[PolicyFilter]:
    """Every single condition of a row filter."""
    for each in group.filters if group else ():
        if isinstance(each, PolicyGroup):
            yield from policy_leaves(each)
        else:
            yield each


def _missing(mistakes: Mistakes, source: Source, key: str, name: str, cubes: Mapping[str, Cube]) -> None:
    known = [member for cube in cubes.values() for member in (f"{cube.name}.{each}" for each in cube.dimensions)]
    close = nearest(name, known)
    hint = f"Did you mean '{close[0]}'?" if close else None
    mistakes.add(source, f"there is no member '{name}'.", key=key, hint=hint)
