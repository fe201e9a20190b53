"""What the models say, as frozen data: cubes, views and their members, each with the file and line it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlglot import exp

from core.errors import ModelError, UnknownMember, nearest
from engine.model.rights import Policy, Tenant
from engine.model.rollups import Rollup
from engine.model.stages import RollingWindow, Snapshot, Stage
from engine.model.terms import Granularity, Interval, Shown, Source, Sql

Relationship = Literal["one_to_one", "one_to_many", "many_to_one"]


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """A column to group or filter by. `extra` holds keys that only `/meta` or a later planner reads."""

    cube: str
    name: str
    type: str
    shown: Shown
    source: Source
    sql: Sql | None = None
    case: Case | None = None
    latitude: Sql | None = None
    longitude: Sql | None = None
    primary_key: bool = False
    sub_query: bool = False
    propagate_filters: bool = False
    granularities: Mapping[str, Granularity] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    stage: Stage | None = None
    shifts: tuple[NamedShift, ...] = ()
    personal: bool = False
    mask: Mask | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    unsupported: str | None = None

    @property
    def full_name(self) -> str:
        """`cube.name`."""
        return f"{self.cube}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """What a member shows to whom it is masked: a value, or SQL over the cube's own columns."""

    value: str | float | bool | None
    sql: Sql | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """CASE WHEN condition THEN label …; a label is a text or SQL. With `switch`, a condition is a value of it."""

    when: tuple[tuple[str | Sql, str | Sql], ...]
    otherwise: str | Sql | None
    switch: Sql | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NamedShift:
    """How a calendar's time dimension is shifted: `sql` gives the moment under which a row counts."""

    name: str | None
    interval: Interval | None
    sql: Sql | None


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A number (or text, time, boolean) that is made of many rows. `unsupported` tells what no query can use yet."""

    cube: str
    name: str
    type: str
    shown: Shown
    source: Source
    sql: Sql | None = None
    filters: tuple[Sql, ...] = ()
    drill_filters: tuple[Sql, ...] = ()
    drill_members: tuple[str, ...] = ()
    window: RollingWindow | None = None
    stage: Stage | None = None
    snapshot: Snapshot | None = None
    case: Case | None = None
    mask: Mask | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    unsupported: str | None = None

    @property
    def full_name(self) -> str:
        """`cube.name`."""
        return f"{self.cube}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A named condition on rows."""

    cube: str
    name: str
    shown: Shown
    source: Source
    sql: Sql

    @property
    def full_name(self) -> str:
        """`cube.name`."""
        return f"{self.cube}.{self.name}"


Member = Measure | Dimension | Segment


@dataclass(frozen=True, slots=True, eq=False)
class Join:
    """An edge to the cube `name`: LEFT JOIN, never walked backwards."""

    cube: str
    name: str
    relationship: Relationship
    sql: Sql
    source: Source


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Dimensions from coarse to fine, as full names; for people only."""

    name: str
    title: str
    levels: tuple[str, ...]
    public: bool
    source: Source


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """A table (or a SELECT) with its members. `final` reads the table with FINAL."""

    name: str
    alias: str
    shown: Shown
    source: Source
    table: str | None
    sql: Sql | None
    final: bool
    joins: Mapping[str, Join]
    measures: Mapping[str, Measure]
    dimensions: Mapping[str, Dimension]
    segments: Mapping[str, Segment]
    hierarchies: Mapping[str, Hierarchy]
    policies: tuple[Policy, ...]
    tenant: Tenant | None = None
    rollups: Mapping[str, Rollup] = field(default_factory=dict)
    data_source: str = "default"
    extra: Mapping[str, Any] = field(default_factory=dict)
    unsupported: str | None = None

    @property
    def primary_key(self) -> tuple[Dimension, ...]:
        """The dimensions that together identify a row."""
        return tuple(each for each in self.dimensions.values() if each.primary_key)

    def member(self, name: str) -> Member | None:
        """The measure, dimension or segment of that name."""
        return self.measures.get(name) or self.dimensions.get(name) or self.segments.get(name)


@dataclass(frozen=True, slots=True)
class ViewMember:
    """A member of a cube under the view's name for it; `path` is the way to its cube."""

    view: str
    name: str
    path: tuple[str, ...]
    member: Member
    shown: Shown
    source: Source

    @property
    def full_name(self) -> str:
        """`view.name`."""
        return f"{self.view}.{self.name}"

    @property
    def alias_member(self) -> str:
        """`cube.member` of what it stands for."""
        return self.member.full_name


@dataclass(frozen=True, slots=True)
class DefaultFilter:
    """A view's filter which holds unless the query filters one of `unless`; member names are the view's own."""

    member: str
    operator: str
    values: tuple[str | None, ...]
    unless: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """A named group of a view's members, as the view names them; folders nest."""

    name: str
    members: tuple[str | Folder, ...]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A face over cubes: members under chosen names, reached by fixed join paths."""

    name: str
    shown: Shown
    source: Source
    measures: Mapping[str, ViewMember]
    dimensions: Mapping[str, ViewMember]
    segments: Mapping[str, ViewMember]
    hierarchies: Mapping[str, Hierarchy]
    folders: tuple[Folder, ...]
    default_filters: tuple[DefaultFilter, ...]
    policies: tuple[Policy, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def member(self, name: str) -> ViewMember | None:
        """The measure, dimension or segment of that name."""
        return self.measures.get(name) or self.dimensions.get(name) or self.segments.get(name)


@dataclass(frozen=True, slots=True)
class ViewGroup:
    """Views that belong together; for people only."""

    name: str
    title: str
    description: str | None
    views: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Expanded:
    """A member's SQL with every dimension in it spelled out: `tree` over cube aliases, and the ways to those cubes.

    In a measure's tree, another measure stands as a placeholder named by its full name; `tree` is None for a
    plain count; `condition` joins the measure's filters. `sub_queries` are the sub-query dimensions within.
    """

    tree: exp.Expr | None
    paths: tuple[tuple[str, ...], ...]
    condition: exp.Expr | None = None
    measures: tuple[str, ...] = ()
    sub_queries: tuple[str, ...] = ()
    unsupported: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type of ClickHouse's by its name, without Nullable: digits of a Decimal or of a DateTime64's fraction, scale,
    values of an Enum."""

    name: str
    precision: int = 0
    scale: int = 0
    values: frozenset[str] = frozenset()


Columns = Mapping[str, ColumnType]
"""The types of a cube's columns by name."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Catalog:
    """Everything the model files say. `expanded` maps full names to spelled-out SQL.

    `cube#table` is what the cube reads, `cube>other` the condition of a join; `cube.member#mask` what a member shows to
    those to whom it is masked, for each of `maskable`. `types` tells the types of columns by the alias of their cube,
    where they are known.
    """

    cubes: Mapping[str, Cube]
    views: Mapping[str, View]
    view_groups: Mapping[str, ViewGroup]
    expanded: Mapping[str, Expanded]
    digest: str = ""
    faults: tuple[ModelError, ...] = ()
    maskable: frozenset[str] = frozenset()
    types: Mapping[str, Columns] = field(default_factory=dict)

    def owner(self, name: str) -> Cube | View:
        """The cube or view of that name; UnknownMember with the nearest names if there is none."""
        found = self.cubes.get(name) or self.views.get(name)
        if found is None:
            owners: list[Cube | View] = [*self.cubes.values(), *self.views.values()]
            close = nearest(name, [each.name for each in owners if each.shown.public])
            hint = _did_you_mean(close)
            raise UnknownMember(f"There is no cube or view '{name}'.", hint=hint, nearest=close, member=name)
        return found

    def member(self, name: str) -> Member | ViewMember:
        """The member `cube.name` or `view.name`; UnknownMember with the nearest names if there is none."""
        head, dot, tail = name.partition(".")
        if not dot:
            raise UnknownMember(f"'{name}' is not a member: write 'cube.member'.", member=name)
        owner = self.owner(head)
        found = owner.member(tail)
        if found is None:
            close = nearest(name, [member for member in names(owner) if owner.member(member.partition(".")[2])])
            hint = _did_you_mean(close)
            raise UnknownMember(f"'{tail}' not found for path '{name}'.", hint=hint, nearest=close, member=name)
        return found

    def tree(self, name: str) -> exp.Expr:
        """A fresh copy of a member's, a table's or a join's SQL."""
        tree = self.expanded[name].tree
        return fresh(tree) if tree is not None else exp.Null()

    def primitive(self, name: str) -> Member:
        """The cube's own member behind `name`, which may be a view's."""
        found = self.member(name)
        return found.member if isinstance(found, ViewMember) else found


def fresh(tree: exp.Expr) -> exp.Expr:
    """A copy; a plain column, by far the most frequent case, without sqlglot's general machinery."""
    name, table = tree.args.get("this"), tree.args.get("table")
    simple = type(tree) is exp.Column and not tree.args.get("db") and not tree._meta
    if simple and isinstance(name, exp.Identifier) and isinstance(table, exp.Identifier):
        return exp.Column(
            this=exp.Identifier(this=name.this, quoted=name.args.get("quoted")),
            table=exp.Identifier(this=table.this, quoted=table.args.get("quoted")),
        )
    return tree.__deepcopy__({})


def names(owner: Cube | View) -> Iterator[str]:
    """The full names of the public members of a cube or a view."""
    for group in (owner.measures, owner.dimensions, owner.segments):
        for member in group.values():
            if member.shown.public:
                yield member.full_name


def _did_you_mean(close: list[str]) -> str | None:
    return f"Did you mean {' or '.join(close)}?" if close else None
