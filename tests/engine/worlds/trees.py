"""Join trees by the rule: the fewest joins; then the fact as root; then the fewest joins to many; then named first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.engine.worlds.asks import Path
from tests.engine.worlds.world import Join, World


class NoWay(Exception):
    """The cubes cannot be joined."""


class Refused(Exception):
    """There is no one right answer."""


@dataclass(frozen=True)
class Edge:
    """One join of a tree."""

    parent: str
    join: Join


@dataclass(frozen=True)
class Tree:
    """A root and its joins, parents first."""

    root: str
    edges: tuple[Edge, ...]

    @property
    def cubes(self) -> list[str]:
        """Every cube."""
        return [self.root, *(edge.join.target for edge in self.edges)]


def join_tree(world: World, paths: Sequence[Path], fact: str | None) -> Tree:
    """The tree over all the paths; a path of several cubes must be gone as it stands."""
    forced: dict[str, str] = {}
    for parent, child in (pair for path in paths for pair in pairwise(path)):
        if forced.setdefault(child, parent) != parent:
            raise Refused(f"{child} by two paths")
    cubes = list(dict.fromkeys(cube for path in paths for cube in path))
    found: list[tuple[tuple[int, bool, int], Tree]] = []
    for root in cubes:
        ways = [] if root in forced else [_from(world, root, cubes, forced, near) for near in ([], cubes)]
        tree = min((each for each in ways if each is not None), key=lambda each: len(each.edges), default=None)
        if tree is not None:
            many = sum(edge.join.relationship == "one_to_many" for edge in tree.edges)
            found.append(((len(tree.edges), root != fact, many), tree))
    if not found:
        raise NoWay(cubes)
    return min(found, key=lambda each: each[0])[1]


def _from(world: World, root: str, cubes: list[str], forced: dict[str, str], near: list[str]) -> Tree | None:
    """The tree from one root; of several equally near parents those in `near` come first."""
    came: dict[str, Edge] = {}
    level = [root]
    while level:
        reached: list[str] = []
        for here in sorted(level, key=lambda each: each not in near):
            for join in world.cubes[here].joins:
                if join.target not in came and join.target != root and forced.get(join.target, here) == here:
                    came[join.target] = Edge(here, join)
                    reached.append(join.target)
        level = reached
    needed: set[str] = set()
    for cube in cubes:
        while cube != root:
            if cube not in came:
                return None
            needed.add(cube)
            cube = came[cube].parent
    return Tree(root, tuple(edge for name, edge in came.items() if name in needed))
