"""`pre_aggregations` of a cube as frozen data: at which grain a rollup table would keep which measures.

What concerns only Cube Store is accepted and told in `notes`; what cannot mean anything here is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import ModelError, nearest
from engine.model.schema import Mistakes, Reader
from engine.model.terms import PREDEFINED, Source

if TYPE_CHECKING:
    from engine.model.catalog import Cube

TYPES = ("rollup", "original_sql", "rollup_join", "rollup_lambda")
PARTITIONS = ("hour", "day", "week", "month", "quarter", "year")
NOTES = {
    "external": "external has no effect: there is no Cube Store, a rollup table would stand in ClickHouse.",
    "read_only": "read_only has no effect: it is about the source database of a Cube Store.",
    "stream_offset": "stream_offset has no effect: it is about streams into Cube Store.",
    "output_column_types": "output_column_types has no effect: it is about streams into Cube Store.",
    "use_original_sql_pre_aggregations": "use_original_sql_pre_aggregations has no effect: nothing is built.",
}
_KEPT = ("refresh_key", "partition_granularity", "build_range_start", "build_range_end", "indexes", "sql_alias")
_MORE = ("refresh_range_start", "refresh_range_end", "scheduled_refresh", "unique_key_columns")
_LAMBDA = ("union_with_source_data",)


@dataclass(frozen=True, slots=True)
class Named:
    """A member by the path of cubes to it (`("orders", "customers")`, `city`)."""

    path: tuple[str, ...]
    name: str

    @property
    def full_name(self) -> str:
        """`cube.name`."""
        return f"{self.path[-1]}.{self.name}"


@dataclass(frozen=True, slots=True)
class RollupTime:
    """A time dimension that a rollup keeps in buckets."""

    dimension: Named
    granularity: str


@dataclass(frozen=True, slots=True, eq=False)
class Rollup:
    """One pre-aggregation. `rollups` are the full names of those which a join or a lambda stands on; `non_strict`
    takes date ranges that begin or end within a bucket; `notes` tell which keys have no effect here."""

    cube: str
    name: str
    type: str
    source: Source
    measures: tuple[Named, ...] = ()
    dimensions: tuple[Named, ...] = ()
    segments: tuple[Named, ...] = ()
    times: tuple[RollupTime, ...] = ()
    rollups: tuple[str, ...] = ()
    non_strict: bool = False
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """`cube.name`."""
        return f"{self.cube}.{self.name}"

    @property
    def members(self) -> tuple[Named, ...]:
        """Every member, times included."""
        return (*self.measures, *self.dimensions, *self.segments, *(time.dimension for time in self.times))


def read_rollup(reader: Reader, cube: str) -> Rollup | None:
    """A pre-aggregation, None if its type makes no sense here."""
    name, kind = reader.name(), reader.text("type", "rollup") or "rollup"
    if kind not in TYPES:
        _refuse_type(reader, kind)
        return None
    partition = reader.text("partition_granularity")
    if partition is not None and partition not in PARTITIONS:
        reader.wrong(f"'{partition}' is none of {', '.join(PARTITIONS)}.", "partition_granularity")
    if kind in ("rollup_join", "rollup_lambda") and not reader.has("rollups", "rollup_references"):
        reader.wrong(f"a {kind} names the rollups that it stands on.", "rollups" if "rollups" in reader.entry else None)
    return Rollup(
        cube=cube,
        name=name,
        type=kind,
        source=reader.source(),
        measures=_members(reader, "measures", cube),
        dimensions=_members(reader, "dimensions", cube),
        segments=_members(reader, "segments", cube),
        times=tuple(_times(reader, cube, kind)),
        rollups=tuple(each.full_name for each in _members(reader, "rollups", cube)),
        non_strict=reader.flag("allow_non_strict_date_range_match"),
        notes=tuple(sentence for key, sentence in NOTES.items() if reader.has(key)),
        extra=reader.rest(*_KEPT, *_MORE, *_LAMBDA),
    )


def _refuse_type(reader: Reader, kind: str) -> None:
    if kind == "auto_rollup":
        reader.wrong("auto_rollup is of Cube's Enterprise edition: write the rollups that you need.", "type")
        return
    close = nearest(kind, list(TYPES))
    hint = f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(TYPES)}."
    reader.wrong(f"'{kind}' is no type of pre-aggregation.", "type", hint=hint)


def _members(reader: Reader, key: str, cube: str) -> tuple[Named, ...]:
    """The members of a list, which older models call `measure_references`, …"""
    texts = reader.words(key) or reader.words(f"{key[:-1]}_references")
    return tuple(_named(text, cube) for text in texts)


def _named(text: str, cube: str) -> Named:
    """`CUBE.m`, `{CUBE}.m`, `m`, `other.m` or `cube.other.m`."""
    *path, name = text.replace("{", "").replace("}", "").split(".")
    path = [cube if each in ("CUBE", "TABLE") else each for each in path]
    return Named(tuple(path) or (cube,), name)


def _times(reader: Reader, cube: str, kind: str) -> Iterator[RollupTime]:
    single = reader.text("time_dimension") or reader.text("time_dimension_reference")
    granularity = reader.text("granularity")
    if single is not None and reader.has("time_dimensions"):
        reader.wrong("time_dimension and time_dimensions exclude each other.", "time_dimensions")
    if single is None and granularity is not None:
        reader.wrong("granularity needs its time_dimension.", "granularity")
    if single is not None and granularity is not None:
        yield RollupTime(_named(single, cube), granularity)
    elif single is not None and kind != "original_sql":
        reader.wrong("time_dimension needs its granularity.", "time_dimension")
    for each in reader.children("time_dimensions", "rollup_time"):
        dimension, own = each.text("dimension"), each.text("granularity")
        if dimension is None or own is None:
            each.wrong("a time dimension of a rollup needs dimension and granularity.")
        else:
            yield RollupTime(_named(dimension, cube), own)


def check_rollups(cubes: Mapping[str, Cube]) -> list[ModelError]:
    """A fault for every member, granularity and rollup which a pre-aggregation names and which is not there."""
    mistakes = Mistakes()
    for cube in cubes.values():
        for rollup in cube.rollups.values():
            _Check(cubes, rollup, mistakes).all()
    return mistakes.errors


class _Check:
    def __init__(self, cubes: Mapping[str, Cube], rollup: Rollup, mistakes: Mistakes) -> None:
        self.cubes = cubes
        self.rollup = rollup
        self.mistakes = mistakes

    def all(self) -> None:
        """Every check of one rollup."""
        kinds: tuple[tuple[str, tuple[Named, ...], Callable[[Cube], Mapping[str, Any]]], ...] = (
            ("measures", self.rollup.measures, lambda cube: cube.measures),
            ("dimensions", self.rollup.dimensions, lambda cube: cube.dimensions),
            ("segments", self.rollup.segments, lambda cube: cube.segments),
        )
        for key, members, of in kinds:
            for each in members:
                self._exists(key, each, of)
        for time in self.rollup.times:
            self._time(time)
        self._others()

    def _wrong(self, problem: str, key: str, close: list[str]) -> None:
        hint = f"Did you mean '{close[0]}'?" if close else None
        self.mistakes.add(self.rollup.source, f"{self.rollup.full_name}: {problem}", key=key, hint=hint)

    def _exists(self, key: str, each: Named, of: Callable[[Cube], Mapping[str, Any]]) -> bool:
        unknown = next((name for name in each.path if name not in self.cubes), None)
        if unknown is not None:
            self._wrong(f"there is no cube '{unknown}'.", key, nearest(unknown, list(self.cubes)))
            return False
        known = of(self.cubes[each.path[-1]])
        if each.name not in known:
            self._wrong(f"'{each.full_name}' is none of the {key}.", key, nearest(each.name, list(known)))
        return each.name in known

    def _time(self, time: RollupTime) -> None:
        if not self._exists("dimensions", time.dimension, lambda cube: cube.dimensions):
            return
        dimension = self.cubes[time.dimension.path[-1]].dimensions[time.dimension.name]
        known = [*PREDEFINED, *dimension.granularities]
        if dimension.type != "time":
            self._wrong(f"'{dimension.full_name}' is a {dimension.type}, not a time.", "time_dimension", [])
        elif time.granularity not in known:
            problem = f"'{dimension.full_name}' has no granularity '{time.granularity}'."
            self._wrong(problem, "granularity", nearest(time.granularity, known))

    def _others(self) -> None:
        known = {each.full_name: each for cube in self.cubes.values() for each in cube.rollups.values()}
        found = [known.get(name) for name in self.rollup.rollups]
        for name, other in zip(self.rollup.rollups, found, strict=True):
            if other is None or other is self.rollup:
                self._wrong(f"there is no other rollup '{name}'.", "rollups", nearest(name, list(known)))
        if self.rollup.type == "rollup_lambda":
            grains = {_grain(other) for other in found if other is not None}
            if len(grains) > 1:
                self._wrong("the rollups of a rollup_lambda must keep the same members.", "rollups", [])


def _grain(rollup: Rollup) -> tuple[frozenset[str], ...]:
    groups = (rollup.measures, rollup.dimensions, rollup.segments, [time.dimension for time in rollup.times])
    return tuple(frozenset(each.full_name for each in group) for group in groups)
