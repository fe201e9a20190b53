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
