"""The grain of a stage: which of the question's dimensions it keeps, and by which others it groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.errors import Unanswerable
from engine.model.catalog import Dimension
from engine.model.stages import Stage
from engine.query.bind import bucket_size, bucketed
from engine.query.bound import BoundDimension, BoundQuery, Path, full_paths, tree_paths


def kept_places(dimensions: Sequence[BoundDimension], stage: Stage) -> tuple[int, ...]:
    """The places of the dimensions that the stage does not drop."""
    if stage.keep is not None:
        return tuple(place for place, each in enumerate(dimensions) if _named(each, stage.keep))
    return tuple(place for place, each in enumerate(dimensions) if not _named(each, stage.exclude))


def _named(each: BoundDimension, names: Sequence[str]) -> bool:
    """A time dimension is meant with any granularity, unless a name gives one."""
    name = each.dimension.full_name
    return name in names or f"{name}.{each.granularity}" in names


def more_dimensions(
    bound: BoundQuery, stage: Stage, path: Path, kept: Sequence[BoundDimension]
) -> tuple[BoundDimension, ...]:
    """The dimensions that the stage adds to those that it keeps."""
    found = []
    for name in stage.include:
        cube, _, rest = name.partition(".")
        member, _, granularity = rest.partition(".")
        dimension = bound.catalog.primitive(f"{cube}.{member}")
        if not isinstance(dimension, Dimension):
            raise Unanswerable(f"A stage groups by '{name}', which is no dimension.")
        way = path if path and path[-1] == cube else (cube,)
        each = bucketed(name, way, dimension, granularity) if granularity else BoundDimension(name, way, dimension)
        if not any(known.dimension is dimension and known.granularity == each.granularity for known in kept):
            found.append(each)
    return tuple(found)


def find_dimension(dimensions: Sequence[BoundDimension], dimension: Dimension) -> int | None:
    """The place of a dimension: without a granularity, else with the finest one."""
    places = [place for place, each in enumerate(dimensions) if each.dimension is dimension]
    plain = [place for place in places if dimensions[place].granularity is None]
    ranked = plain or sorted(places, key=lambda place: bucket_size(dimensions[place]))
    return ranked[0] if ranked else None


def inner_question(bound: BoundQuery, dimensions: tuple[BoundDimension, ...]) -> BoundQuery:
    """The same question by other dimensions, neither sorted nor cut, without conditions on measures."""
    dropped = [each for each in bound.dimensions if each not in dimensions]
    ways = [way for each in dropped for way in full_paths(bound.catalog, each.path, each.dimension.full_name)]
    ways += [way for tree in bound.where for way in tree_paths(bound.catalog, tree)]
    through = tuple(dict.fromkeys((*bound.through, *ways)))
    return replace(
        bound,
        dimensions=dimensions,
        through=through,
        measures=(),
        having=(),
        mixed=(),
        order=(),
        limit=False,
        offset=False,
        total=False,
        ungrouped=False,
    )
