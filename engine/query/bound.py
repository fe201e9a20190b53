"""A query whose names have become members of the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from engine.model.catalog import Catalog, Dimension, Measure, Segment
from engine.model.terms import Granularity
from engine.query.request import Slot, Value

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoundDimension:
    """A dimension of the answer: `column` is its key in the answer, `path` leads to its cube. `raw` times are left as
    they are, for they are compared with columns."""

    column: str
    path: Path
    dimension: Dimension
    kind: Literal["dimension", "time_dimension"] = "dimension"
    granularity: str | None = None
    custom: Granularity | None = None
    raw: bool = False


@dataclass(frozen=True, slots=True)
class BoundMeasure:
    """A measure of the answer under the name that was asked for."""

    column: str
    path: Path
    measure: Measure


@dataclass(frozen=True, slots=True)
class BoundFilter:
    """A condition on a dimension or a measure; its values are slots or None."""

    path: Path
    member: Dimension | Measure
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class BoundSegment:
    """A segment, or a measure's own filters (`measureFilter`), as a condition on rows."""

    path: Path
    segment: Segment | Measure


@dataclass(frozen=True, slots=True)
class BoundGroup:
    """Conditions joined by `and` or `or`; an empty `or` is false."""

    operator: Literal["and", "or"]
    filters: tuple[BoundTree, ...]


BoundTree = BoundFilter | BoundSegment | BoundGroup


@dataclass(frozen=True, slots=True)
class BoundTime:
    """The time dimension along which windows roll; `range` is its dateRange, which stands in `where` too."""

    path: Path
    dimension: Dimension
    range: BoundFilter | None


@dataclass(frozen=True, slots=True)
class BoundOrder:
    """Sort by a column of the answer."""

    column: str
    desc: bool


class RowFilters(Protocol):
    """The caller's row filters."""

    def of(self, cube: str) -> BoundTree | None:
        """The filter of every scan of the cube; None if all its rows may be read; AccessDenied if none may."""


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """What is asked, in terms of the catalog, with the caller's rights in `rows` and `required`.

    `where` conditions apply to rows, `having` to measures, `mixed` to both; `required` are conditions of view
    policies, which every part of the answer must obey. `masks` has the masked members by full name: the rows which show
    their own value. `through` leads to cubes of the question around this one: where rows are restricted on that way, so
    are this question's.
    """

    catalog: Catalog
    timezone: str
    dimensions: tuple[BoundDimension, ...]
    measures: tuple[BoundMeasure, ...]
    where: tuple[BoundTree, ...]
    having: tuple[BoundTree, ...]
    mixed: tuple[BoundTree, ...]
    required: tuple[BoundTree, ...]
    order: tuple[BoundOrder, ...]
    limit: bool
    offset: bool
    total: bool
    ungrouped: bool
    attributes: Mapping[str, Slot | None] = field(default_factory=dict)
    time: BoundTime | None = None
    rows: RowFilters = field(kw_only=True)
    masks: Mapping[str, BoundTree] = field(default_factory=dict, kw_only=True)
    through: tuple[Path, ...] = ()


def tree_paths(catalog: Catalog, tree: BoundTree) -> list[Path]:
    """The join paths that a condition on rows needs."""
    if isinstance(tree, BoundGroup):
        return [path for each in tree.filters for path in tree_paths(catalog, each)]
    return full_paths(catalog, tree.path, name_of(tree))


def full_paths(catalog: Catalog, path: Path, name: str) -> list[Path]:
    """The cubes that a member needs: the path to it, then the paths of what its SQL refers to."""
    return [path, *(way[1:] for way in catalog.expanded[name].paths if len(way) > 1)]


def name_of(node: BoundFilter | BoundSegment) -> str:
    """The full name of the member on which a condition stands."""
    return node.segment.full_name if isinstance(node, BoundSegment) else node.member.full_name


def tree_names(tree: BoundTree) -> list[str]:
    """The full names of the members in a condition."""
    if isinstance(tree, BoundGroup):
        return [name for each in tree.filters for name in tree_names(each)]
    return [name_of(tree)]
