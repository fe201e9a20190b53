"""Names become members; hidden and unknown ones are refused, default filters and the caller's policies are added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlglot import exp

from core.errors import HiddenMember, InvalidQuery, Unanswerable, UnknownGranularity, WrongKind, nearest
from engine.model.catalog import Catalog, Cube, Dimension, Expanded, Measure, Member, Segment, View, ViewMember
from engine.model.markers import FORMULAS
from engine.model.policies import OPERATORS
from engine.model.rights import Policy
from engine.model.terms import PREDEFINED
from engine.query.access import Access, SecurityContext, access_of, shape_of
from engine.query.bound import (
    BoundDimension,
    BoundFilter,
    BoundGroup,
    BoundMeasure,
    BoundOrder,
    BoundQuery,
    BoundSegment,
    BoundTime,
    BoundTree,
    Path,
    name_of,
)
from engine.query.lift import Shape
from engine.query.masks import check_masks, masks_of, reached
from engine.query.normalisation import EMPTY, EMPTY_HINT
from engine.query.request import Filter, FilterGroup, FilterTree, Query, TimeDimension, leaves

_GRAIN = {name: rank for rank, name in enumerate(PREDEFINED)}


@dataclass(slots=True)
class _Binder:
    """The work on one query: what was granted by which policies, cube by cube and view by view."""

    catalog: Catalog
    access: Access
    granted: dict[str, list[tuple[Policy, ...]]] = field(default_factory=dict)
    views: dict[str, None] = field(default_factory=dict)
    cubes: bool = False
    paths: Mapping[str, Path] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Path, Member]:
        """The member behind a public name and the path to its cube; the caller must be allowed to see it."""
        found = self.catalog.member(name)
        owner = self.catalog.owner(name.partition(".")[0])
        behind = found.member if isinstance(found, ViewMember) else found
        hidden = not found.shown.public and not (isinstance(behind, Dimension) and behind.primary_key)
        if hidden or not owner.shown.public:
            problem = f"You requested hidden member: '{name}'. Please make it visible using `public: true`."
            raise HiddenMember(problem, member=name)
        policies = self.access.check_member(owner, name.partition(".")[2])
        if policies is not None:
            self.granted.setdefault(owner.name, []).append(policies)
        if isinstance(found, ViewMember):
            self.views[owner.name] = None
            return found.path, found.member
        self.cubes = True
        return self.paths.get(found.cube, (found.cube,)), found

    def dimension(self, name: str, what: str = "dimension") -> tuple[Path, Dimension]:
        """The dimension of that name."""
        path, member = self.find(name)
        if not isinstance(member, Dimension):
            raise _other_kind(name, member, what)
        return path, member


def find_member(catalog: Catalog, context: SecurityContext, name: str) -> Member:
    """The member behind a public name; the errors of `bind` if there is none or the caller may not ask for it."""
    return _Binder(catalog, Access(catalog, context.groups, shape_of(context))).find(name)[1]


def is_row_value(catalog: Catalog, measure: Measure) -> bool:
    """Whether single rows have a value of the measure: an ungrouped query may show it."""
    try:
        _check_row_value(catalog, measure, measure.full_name)
    except Unanswerable:
        return False
    return True


def bind(catalog: Catalog, shape: Shape) -> BoundQuery:
    """The bound query; UnknownMember, InvalidQuery or AccessDenied if it cannot be asked."""
    query = shape.query
    access = access_of(catalog, shape.groups, shape.attributes)
    binder = _Binder(catalog, access, paths=_hinted(catalog, query.join_hints))
    _check_zone(query.timezone)
    dimensions = _dimensions(binder, query)
    measures = tuple(_measure(binder, name) for name in dict.fromkeys(query.measures))
    filters = [
        _filter(binder, node) for node in (*query.filters, *_default_filters(catalog, query)) if not _says_nothing(node)
    ]
    where, having, mixed = _sorted_out(filters)
    ranges = {index: _date_range(binder, each) for index, each in enumerate(query.time_dimensions) if each.date_range}
    where += dict.fromkeys(ranges.values())
    where += [_segment(binder, name) for name in dict.fromkeys(query.segments)]
    masks = masks_of(binder.access, binder.views, cubes=binder.cubes)
    check_masks(masks, (*where, *mixed))
    bound = BoundQuery(
        catalog=catalog,
        timezone=query.timezone,
        dimensions=dimensions,
        measures=measures,
        where=tuple(where),
        having=tuple(having),
        mixed=tuple(mixed),
        required=(*_required(binder), *(reached(masks, catalog) if masks else ())),
        order=_order(query, dimensions, measures),
        limit=query.limit is not None,
        offset=query.offset is not None,
        total=query.total,
        ungrouped=query.ungrouped,
        attributes=dict(shape.attributes),
        time=_time(binder, query, ranges),
        rows=_RowFilters(binder),
        masks=masks,
    )
    _check(bound)
    return bound


def _hinted(catalog: Catalog, hints: tuple[tuple[str, ...], ...]) -> Mapping[str, Path]:
    """The path to each cube of the hints; InvalidQuery where two cubes of a chain have no join between them."""
    parents: dict[str, str] = {}
    for index, chain in enumerate(hints):
        for place, name in enumerate(chain):
            at = f"joinHints[{index}][{place}]"
            if not isinstance(catalog.owner(name), Cube):
                raise InvalidQuery(f"'{name}' is a view: joins lead from cube to cube", path=at)
            if not place:
                continue
            parent = chain[place - 1]
            if name not in catalog.cubes[parent].joins:
                raise InvalidQuery(f"'{parent}' declares no join to '{name}'", path=at)
            if parents.setdefault(name, parent) != parent:
                raise InvalidQuery(f"joinHints reach '{name}' by two paths", path=at)
    return {name: _up(name, parents) for name in parents}


def _up(name: str, parents: Mapping[str, str]) -> Path:
    path = [name]
    while (parent := parents.get(path[0])) is not None:
        if parent in path:
            raise InvalidQuery(f"joinHints go round in a circle at '{parent}'", path="joinHints")
        path.insert(0, parent)
    return tuple(path)


class _RowFilters:
    """The row filter of each cube, worked out when a plan first reads the cube."""

    def __init__(self, binder: _Binder) -> None:
        self._binder = binder
        self._known: dict[str, BoundTree | None] = {}

    def of(self, cube: str) -> BoundTree | None:
        """The filter of every scan of the cube; None if all its rows may be read; AccessDenied if none may."""
        if cube not in self._known:
            owner = self._binder.catalog.cubes[cube]
            self._known[cube] = self._binder.access.rows(owner, self._binder.granted.get(cube, []))
        return self._known[cube]


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidQuery(f'"timezone" must be a valid IANA time zone, got "{name}"', path="timezone") from error


def _dimensions(binder: _Binder, query: Query) -> tuple[BoundDimension, ...]:
    found: dict[str, BoundDimension] = {}
    for name in query.dimensions:
        path, dimension = binder.dimension(name)
        found[name] = BoundDimension(name, path, dimension)
    for each in query.time_dimensions:
        path, dimension = binder.dimension(each.dimension, "time dimension")
        if dimension.type != "time":
            raise InvalidQuery(f"'{each.dimension}' is a {dimension.type}, not a time.", member=each.dimension)
        if each.granularity is not None:
            column = f"{each.dimension}.{each.granularity}"
            found[column] = bucketed(column, path, dimension, each.granularity)
    return tuple(found.values())


def bucketed(column: str, path: Path, dimension: Dimension, granularity: str) -> BoundDimension:
    """A time dimension in buckets; UnknownMember if it has no such granularity."""
    custom = dimension.granularities.get(granularity)
    if granularity not in PREDEFINED and custom is None:
        close = nearest(granularity, [*PREDEFINED, *dimension.granularities])
        hint = (
            f"Did you mean {close[0]}?" if close else f"There are {', '.join([*PREDEFINED, *dimension.granularities])}."
        )
        problem = f"'{dimension.full_name}' has no granularity '{granularity}'."
        raise UnknownGranularity(problem, hint=hint, nearest=close, member=column)
    if custom is not None and custom.interval is None and custom.sql is None:
        raise Unanswerable(f"The granularity '{granularity}' has no interval.", member=column)
    return BoundDimension(column, path, dimension, "time_dimension", granularity, custom)


def _measure(binder: _Binder, name: str) -> BoundMeasure:
    path, member = binder.find(name)
    if not isinstance(member, Measure):
        raise _other_kind(name, member, "measure")
    return BoundMeasure(name, path, member)


def _other_kind(name: str, member: Member, wanted: str) -> WrongKind:
    hint = f"It is a {type(member).__name__.lower()}, not a {wanted}."
    problem = f"'{name.partition('.')[2]}' not found for path '{name}'."
    ossie = "E_AGGREGATE_IN_SCALAR_QUERY" if isinstance(member, Measure) else None
    return WrongKind(problem, hint=hint, member=name, ossie=ossie)


def _segment(binder: _Binder, name: str) -> BoundSegment:
    path, member = binder.find(name)
    if not isinstance(member, Segment):
        raise _other_kind(name, member, "segment")
    return BoundSegment(path, member)


def _date_range(binder: _Binder, each: TimeDimension) -> BoundFilter:
    path, dimension = binder.dimension(each.dimension)
    return BoundFilter(path, dimension, "inDateRange", tuple(each.date_range or ()))


def _time(binder: _Binder, query: Query, ranges: Mapping[int, BoundFilter]) -> BoundTime | None:
    """The first time dimension that groups, else the first that has a range."""
    times = list(enumerate(query.time_dimensions))
    chosen = next((each for each in times if each[1].granularity), None) or next((each for each in times), None)
    if chosen is None:
        return None
    path, dimension = binder.dimension(chosen[1].dimension)
    same = [index for index, each in times if each.dimension == chosen[1].dimension and index in ranges]
    return BoundTime(path, dimension, ranges[same[0]] if same else None)


def _filter(binder: _Binder, node: FilterTree) -> BoundTree:
    if isinstance(node, FilterGroup):
        return BoundGroup(
            node.operator, tuple(_filter(binder, each) for each in node.filters if not _says_nothing(each))
        )
    path, member = binder.find(node.member)
    if node.operator not in OPERATORS:
        close = nearest(node.operator, sorted(OPERATORS))
        raise InvalidQuery(
            f"There is no filter operator '{node.operator}'.",
            hint=f"Did you mean {close[0]}?" if close else None,
            nearest=close,
            member=node.member,
        )
    if isinstance(member, Segment):
        raise InvalidQuery(f"'{node.member}' is a segment; ask for it in segments.", member=node.member)
    if node.operator == "measureFilter":
        if not isinstance(member, Measure):
            raise InvalidQuery(f"measureFilter needs a measure, '{node.member}' is none.", member=node.member)
        return BoundSegment(path, member)
    if not node.values and node.operator not in ("set", "notSet"):
        raise InvalidQuery(f"Values required for filter: {node.member} {node.operator}", member=node.member)
    return BoundFilter(path, member, node.operator, node.values)


def _says_nothing(node: FilterTree) -> bool:
    """A group without conditions is none: `or: [a, {and: []}]` is `a`, as in Cube. An `or` of nothing stays false."""
    if not isinstance(node, FilterGroup):
        return False
    return (node.operator == "and" or bool(node.filters)) and all(_says_nothing(each) for each in node.filters)


def _default_filters(catalog: Catalog, query: Query) -> list[Filter]:
    """The filters of the views asked which no filter of the query makes idle; their values are the model's."""
    named = [*query.measures, *query.dimensions, *query.segments, *(each.dimension for each in query.time_dimensions)]
    filtered = {leaf.member for leaf in leaves(query.filters)}
    filtered |= {each.dimension for each in query.time_dimensions if each.date_range is not None}
    found: list[Filter] = []
    for name in dict.fromkeys(each.partition(".")[0] for each in [*named, *sorted(filtered)]):
        view = catalog.views.get(name)
        defaults = view.default_filters if view else ()
        idle = filtered.intersection
        found += [Filter(each.member, each.operator, each.values) for each in defaults if not idle(each.unless)]
    return found


def _sorted_out(filters: list[BoundTree]) -> tuple[list[BoundTree], list[BoundTree], list[BoundTree]]:
    """Conditions on rows, on measures, and on both; an `and` at the top falls apart into its conditions."""
    where: list[BoundTree] = []
    having: list[BoundTree] = []
    mixed: list[BoundTree] = []
    for tree in filters:
        kinds = _kinds(tree)
        if len(kinds) < 2:
            (having if "measure" in kinds else where).append(tree)
        elif isinstance(tree, BoundGroup) and tree.operator == "and":
            for target, part in zip((where, having, mixed), _sorted_out(list(tree.filters)), strict=True):
                target += part
        else:
            mixed.append(tree)
    return where, having, mixed


def _kinds(tree: BoundTree) -> set[str]:
    if isinstance(tree, BoundGroup):
        return {kind for each in tree.filters for kind in _kinds(each)}
    return {"measure" if isinstance(tree, BoundFilter) and isinstance(tree.member, Measure) else "row"}


def _required(binder: _Binder) -> tuple[BoundTree, ...]:
    owners: list[Cube | View] = [binder.catalog.views[name] for name in binder.views]
    found = (binder.access.rows(owner, binder.granted.get(owner.name, [])) for owner in owners)
    return tuple(tree for tree in found if tree is not None)


def _order(
    query: Query, dimensions: tuple[BoundDimension, ...], measures: tuple[BoundMeasure, ...]
) -> tuple[BoundOrder, ...]:
    columns = {each.column for each in dimensions} | {each.column for each in measures}
    if query.order is None:
        return _default_order(dimensions, measures)
    found: dict[str, BoundOrder] = {}
    for each in query.order:
        column = each.member if each.member in columns else _finest(each.member, dimensions)
        if column is not None:
            found.setdefault(column, BoundOrder(column, each.desc))
    return tuple(found.values())


def _default_order(
    dimensions: tuple[BoundDimension, ...], measures: tuple[BoundMeasure, ...]
) -> tuple[BoundOrder, ...]:
    times = [each for each in dimensions if each.kind == "time_dimension"]
    if times:
        return (BoundOrder(times[0].column, False),)
    if measures and dimensions:
        return (BoundOrder(measures[0].column, True),)
    return (BoundOrder(dimensions[0].column, False),) if dimensions else ()


def _finest(name: str, dimensions: tuple[BoundDimension, ...]) -> str | None:
    """A time dimension named without its granularity: the smallest one that is asked for."""
    candidates = [each for each in dimensions if each.granularity and each.column == f"{name}.{each.granularity}"]
    return min(candidates, key=bucket_size).column if candidates else None


def bucket_size(each: BoundDimension) -> float:
    """About how many seconds a bucket of a time dimension lasts."""
    lengths = (1, 60, 3600, 86_400, 604_800, 2_629_746, 7_889_238, 31_556_952)
    if each.custom is not None and each.custom.interval is not None:
        return each.custom.interval.months * 2_629_746 + each.custom.interval.milliseconds / 1000
    return lengths[_GRAIN[each.granularity or "second"]]


def _check(bound: BoundQuery) -> None:
    if not bound.dimensions and not bound.measures:
        raise InvalidQuery(EMPTY, hint=EMPTY_HINT, ossie="E_EMPTY_AGGREGATION_QUERY")
    if bound.ungrouped and (bound.having or bound.mixed):
        raise InvalidQuery("An ungrouped query cannot filter by measures.", ossie="E_AGGREGATE_IN_SCALAR_QUERY")
    for tree in (*bound.where, *bound.having, *bound.mixed):
        _check_window(bound.catalog, tree)
    for tree in bound.mixed:
        _check_measure_filter(tree)
    if bound.ungrouped:
        for each in bound.measures:
            _check_row_value(bound.catalog, each.measure, each.column)


def _check_row_value(catalog: Catalog, measure: Measure, column: str) -> None:
    """A single row has no aggregate of many: formulas that write one themselves are refused."""
    spelled = catalog.expanded[measure.full_name]
    is_formula = measure.type in FORMULAS
    if is_formula and _has_aggregate(spelled):
        raise Unanswerable(
            f"'{column}' is made of aggregates of many rows; an ungrouped query shows single rows.",
            hint="Ask it grouped, or ask the dimensions and measures that it is made of.",
            ossie="E_AGGREGATE_IN_SCALAR_QUERY",
            member=column,
        )
    for name in spelled.measures if is_formula else ():
        inner = catalog.primitive(name)
        if isinstance(inner, Measure):
            _check_row_value(catalog, inner, column)


def _has_aggregate(spelled: Expanded) -> bool:
    """Whether a formula aggregates columns itself; functions that nobody knows do where there is nothing else to."""
    if spelled.tree is None:
        return False
    return bool(spelled.tree.find(exp.AggFunc)) or (not spelled.measures and bool(spelled.tree.find(exp.Column)))


def _check_window(catalog: Catalog, tree: BoundTree) -> None:
    """What compares groups or rows with each other (OVER) cannot decide which of them there are."""
    if isinstance(tree, BoundGroup):
        for each in tree.filters:
            _check_window(catalog, each)
    elif _has_window(catalog, name_of(tree)):
        raise Unanswerable(
            f"'{name_of(tree)}' has a window function: a Where cannot filter by it.",
            hint="Qualify it in a subquery: filter the rows of the answer, or a cube over such a SELECT.",
            ossie="E_WINDOW_IN_WHERE",
            member=name_of(tree),
        )


def _check_measure_filter(tree: BoundTree) -> None:
    """`measureFilter` chooses rows; beside a condition on a measure there are no rows any more."""
    if isinstance(tree, BoundGroup):
        for each in tree.filters:
            _check_measure_filter(each)
    elif isinstance(tree, BoundSegment) and isinstance(tree.segment, Measure):
        name = tree.segment.full_name
        raise Unanswerable(f"measureFilter of '{name}' cannot stand in one group with a measure.", member=name)


def _has_window(catalog: Catalog, name: str) -> bool:
    spelled = catalog.expanded[name]
    tree = spelled.tree
    if tree is not None and type(tree) is not exp.Column and tree.find(exp.Window):
        return True
    return any(_has_window(catalog, inner) for inner in spelled.measures)
