"""Join trees: which cube to start from and which declared edges to follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from itertools import pairwise

from core.errors import NoJoinPath, Unanswerable
from engine.model.catalog import Catalog
from engine.model.kept import Kept
from engine.plan.nodes import Edge, Tree
from engine.query.bound import Path

_Parents = Mapping[str, str]
_searched: Kept[str, _Parents] = Kept(100_000)


def join_tree(catalog: Catalog, paths: Iterable[Path], fact: str | None = None) -> Tree | None:
    """The best tree over the cubes of `paths`, None if no root reaches them all.

    Best: the fewest edges; then the fact as root, so that none of its rows is lost; then the fewest edges that
    multiply, so that the order of dimensions does not matter; then the root named first. A path of several cubes
    fixes its edges.
    """
    listed = list(dict.fromkeys(paths))
    forced = _forced(listed)
    cubes = list(dict.fromkeys(cube for path in listed for cube in path))
    best: tuple[tuple[int, bool, int], Tree] | None = None
    for root in cubes:
        if root in forced:
            continue
        parents = _search(catalog, root, forced) if forced else _search_free(catalog, root)
        tree = _tree(catalog, root, cubes, parents)
        if tree is None:
            continue
        if len(tree.edges) >= len(cubes):  # through cubes that nobody asks for
            nearer = _tree(catalog, root, cubes, _search(catalog, root, forced, frozenset(cubes)))
            tree = nearer if nearer is not None and len(nearer.edges) < len(tree.edges) else tree
        rank = (len(tree.edges), root != fact, sum(edge.relationship == "one_to_many" for edge in tree.edges))
        if best is None or rank < best[0]:
            best = rank, tree
    return best[1] if best else None


def required_tree(catalog: Catalog, paths: Iterable[Path], fact: str | None = None) -> Tree:
    """`join_tree`, or NoJoinPath."""
    listed = list(paths)
    tree = join_tree(catalog, listed, fact)
    if tree is None:
        names = ", ".join(f"'{cube}'" for cube in dict.fromkeys(cube for path in listed for cube in path))
        raise NoJoinPath(f"Can't find join path to join {names}")
    return tree


def _forced(paths: list[Path]) -> dict[str, str]:
    forced: dict[str, str] = {}
    for path in paths:
        for parent, child in pairwise(path):
            if forced.setdefault(child, parent) != parent:
                raise Unanswerable(
                    f"'{child}' is reached by two paths, from '{forced[child]}' and from '{parent}'.",
                    hint="Give one of them a cube of its own with extends.",
                    ossie="E_AMBIGUOUS_PATH",
                )
    return forced


def _search_free(catalog: Catalog, root: str) -> _Parents:
    return _searched.get(catalog, root, lambda: _search(catalog, root, {}))


def _search(catalog: Catalog, root: str, forced: Mapping[str, str], asked: Set[str] = frozenset()) -> _Parents:
    """Breadth first: the parent of every cube within reach, of several equally near the one that is asked for."""
    parents: dict[str, str] = {root: root}
    level = [root]
    while level:
        found: list[str] = []
        for cube in sorted(level, key=lambda each: each not in asked) if asked else level:
            for name in catalog.cubes[cube].joins:
                if name not in parents and forced.get(name, cube) == cube:
                    parents[name] = cube
                    found.append(name)
        level = found
    return parents


def _tree(catalog: Catalog, root: str, cubes: list[str], parents: _Parents) -> Tree | None:
    edges: dict[str, Edge] = {}
    for target in cubes:
        chain: list[Edge] = []
        node = target
        while node != root and node not in edges:
            if node not in parents:
                return None
            parent = parents[node]
            chain.append(Edge(parent, node, catalog.cubes[parent].joins[node].relationship))
            node = parent
        for edge in reversed(chain):
            edges[edge.child] = edge
    return Tree(root, tuple(edges.values()))
