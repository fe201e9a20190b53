"""A MetricFlow model in Cube's keys: cubes as they are, metrics as measures that are made when a question asks them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from tests.engine.metricflow.conversions import conversion_cube
from tests.engine.metricflow.terms import (
    CALENDAR,
    DATE_PARTS,
    Entry,
    Untranslatable,
    at_the_edge,
    calendars,
    checked,
    column_of,
    first_of_period,
    later,
    quantile,
    replaced,
    slug,
)

_DIMENSION = {"name", "sql", "type", "primary_key"}
_JOIN = {"name", "relationship", "sql"}
_MEASURE = {"name", "sql", "type", "rolling_window"}
_METRIC = re.compile(r"\{\{\s*Metric\('(\w+)',\s*\['(\w+)'\]\)\s*\}\}")


@dataclass(frozen=True)
class Use:
    """How a metric is used as an input: with more conditions, moved in time, or as of the start of a period."""

    filters: tuple[str, ...] = ()
    grain: str | None = None
    moved: str = ""

    @property
    def suffix(self) -> str:
        """What the use adds to a measure's name."""
        words = [f"where_{slug(each)}_{crc32(each.encode()):x}" for each in self.filters]
        words += [f"at_start_of_{self.grain}"] if self.grain else []
        words += [f"{slug(self.moved)}_ago"] if self.moved else []
        return "".join(f"__{word}" for word in words)


@dataclass
class Model:
    """Cubes by name with the measures made so far; `metrics` are MetricFlow's own, by full name.

    `present` are the conditions of which one must hold for MetricFlow to have a row: a metric has none for a group in
    which its filters, or its window, leave nothing.
    """

    document: Entry
    source: Entry
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cubes: dict[str, Entry] = field(default_factory=dict)
    metrics: dict[str, Entry] = field(default_factory=dict)
    conversions: dict[str, str] = field(default_factory=dict)
    present: list[Entry] = field(default_factory=list)
    calendar: str = CALENDAR
    period: str | None = None
    buckets: tuple[str, ...] = ()
    dense: bool = False
    moves_rows: bool = False

    def __post_init__(self) -> None:
        for cube in self.document["cubes"]:
            for measure in cube.get("measures", ()):
                self.metrics[f"{cube['name']}.{measure['name']}"] = measure
            self.cubes[cube["name"]] = {
                "name": cube["name"],
                "sql_table": cube["sql_table"],
                "dimensions": [_only(each, _DIMENSION) for each in cube.get("dimensions", ())],
                "joins": [_only(each, _JOIN) for each in cube.get("joins", ())],
                "measures": [],
            }
        self._texts_as_times()
        self._valid_at_the_fact()
        self.cubes |= {cube["name"]: cube for cube in calendars()}

    def _texts_as_times(self) -> None:
        """A time that its table keeps as a text is read as a time."""
        for cube in self.cubes.values():
            texts = self.texts.get(cube["sql_table"], ())
            for each in cube["dimensions"]:
                if each["type"] == "time" and each["sql"].rpartition(".")[2] in texts:
                    each["sql"] = f"CAST({each['sql']} AS Nullable(DateTime64(6)))"

    def _valid_at_the_fact(self) -> None:
        """A validity range beyond a bridge that has no time is checked at the time of the fact before the bridge."""
        for cube in self.cubes.values():
            if any(each["type"] == "time" for each in cube["dimensions"]):
                continue
            before = [
                each["name"] for each in self.cubes.values() if cube["name"] in (j["name"] for j in each["joins"])
            ]
            for join in cube["joins"]:
                fact = next((each for each in before if self.semantic(each).get("defaults")), None)
                join["sql"] = join["sql"].replace("{CUBE}.ds ", f"{{{fact}}}.ds ") if fact else join["sql"]

    # --- lookups ----------------------------------------------------------------------------------------------------

    def semantic(self, cube: str) -> Entry:
        """MetricFlow's own semantic model behind a cube."""
        return next((each for each in self.source["semantic_models"] if each["name"] == cube), {})

    @property
    def names(self) -> set[str]:
        """The names of MetricFlow's own semantic models."""
        return {each["name"] for each in self.source["semantic_models"]}

    def time_of(self, name: str) -> str:
        """The time by which a metric is aggregated: a dimension of its cube."""
        default = (self.semantic(name.partition(".")[0]).get("defaults") or {}).get("agg_time_dimension", "ds")
        return str(self.metrics.get(name, {}).get("time_dimension") or default)

    def unit(self, name: str) -> str:
        """The finest bucket of a metric's own time: hour, or day."""
        cubes: list[Entry] = self.document["cubes"]
        cube = next((each for each in cubes if each["name"] == name.partition(".")[0]), {})
        times = {each["name"]: each.get("granularity") for each in cube.get("dimensions", ())}
        return "hour" if times.get(self.time_of(name)) == "hour" else "day"

    def sql_of(self, dimension: str) -> str:
        """The SQL of a dimension, over its own cube."""
        cube, _, name = dimension.partition(".")
        return str(next(each["sql"] for each in self.cubes[cube]["dimensions"] if each["name"] == name))

    def keyed_by(self, entity: str) -> str:
        """The cube that has one row for each value of an entity."""
        for cube in self.cubes.values():
            if any(each["name"] == entity and each.get("primary_key") for each in cube["dimensions"]):
                return str(cube["name"])
        raise Untranslatable(f"no cube has one row for each {entity}")

    def named(self, metric: str) -> str:
        """The full name of a metric."""
        return next(name for name in self.metrics if name.partition(".")[2] == metric)

    # --- additions --------------------------------------------------------------------------------------------------

    def dimension(self, cube: str, entry: Entry) -> str:
        """Add a dimension once."""
        self._add(self.cubes[cube]["dimensions"], entry)
        return f"{cube}.{entry['name']}"

    def measure(self, cube: str, entry: Entry) -> str:
        """Add a measure once."""
        self._add(self.cubes[cube]["measures"], entry)
        return f"{cube}.{entry['name']}"

    def _add(self, entries: list[Entry], entry: Entry) -> None:
        if all(each["name"] != entry["name"] for each in entries):
            entries.append(entry)

    def join_calendar(self, cube: str, time: str, calendar: str = CALENDAR, moved: str = "") -> None:
        """Each row of a cube belongs to its day (or hour), or to a later one."""
        key, unit = ("ds", "day") if calendar == CALENDAR else ("ts", "hour")
        moment = f"CAST({self.sql_of(f'{cube}.{time}')} AS Nullable(DateTime64(6)))" + later(moved)
        moment = f"dateTrunc('{unit}', {moment})"
        on = f"CAST({moment} AS Nullable(DateTime64(6))) = {{{calendar}}}.{key}"
        self._add(self.cubes[cube]["joins"], {"name": calendar, "relationship": "many_to_one", "sql": on})

    def by_other_time(self, cube: str, time: str, moved: str = "") -> str:
        """A second face of a cube whose rows belong to the day of another of their times, or to a later day."""
        name = f"{cube}__by_{time}" + (f"_and_{slug(moved)}" if moved else "")
        if name not in self.cubes:
            copied = deepcopy(self.cubes[cube])
            joins = [_renamed(each, cube, name) for each in copied["joins"] if each["name"] != CALENDAR]
            self.cubes[name] = copied | {"name": name, "joins": joins, "measures": []}
            self.join_calendar(name, time, moved=moved)
        return name

    def alien_day(self, dimension: str) -> str:
        """The alien day of any time: a calendar of its own for it."""
        cube, _, name = dimension.partition(".")
        if cube == CALENDAR:
            return f"{CALENDAR}.alien_day"
        calendar = f"calendar_of_{cube}_{name}"
        if calendar not in self.cubes:
            self.cubes[calendar] = deepcopy(self.cubes[CALENDAR]) | {"name": calendar, "measures": []}
            on = f"dateTrunc('day', {self.sql_of(dimension)}) = {{{calendar}}}.ds"
            self.cubes[cube]["joins"].append({"name": calendar, "relationship": "many_to_one", "sql": on})
        return f"{calendar}.alien_day"

    def date_part(self, dimension: str, part: str) -> str:
        """Year, quarter … of a time as a number."""
        cube, _, name = dimension.partition(".")
        entry = {"name": f"{name}__extract_{part}", "type": "number", "sql": f"{DATE_PARTS[part]}({{CUBE.{name}}})"}
        return self.dimension(cube, entry)

    def metric_per_entity(self, metric: str, path: str) -> str:
        """A metric for each row of an entity: a sub-query dimension."""
        entity = path.rpartition("__")[2]
        cube = self.keyed_by(entity)
        sql = f"{{{self.use(self.named(metric))}}}"
        return self.dimension(cube, {"name": f"{metric}_per", "type": "number", "sub_query": True, "sql": sql})

    # --- metrics ----------------------------------------------------------------------------------------------------

    def use(self, name: str, use: Use = Use()) -> str:
        """The measure for a metric; what it builds on is made first."""
        metric = self.metrics[name]
        own = tuple(self._condition(each["sql"]) for each in metric.get("filters", ()))
        use = replace(use, filters=(*use.filters, *own))
        if metric["type"] == "ratio":
            sides = [self._input(metric[side], use) for side in ("numerator", "denominator")]
            return self._formula(name, use, " / ".join(f"{{{side}}}" for side in sides))
        if metric["type"] == "derived":
            names = {each.get("alias") or each["measure"].split(".")[-1]: each for each in metric["uses"]}
            inputs = {alias: self._input(each, use) for alias, each in names.items()}
            return self._formula(name, use, replaced(metric["sql"], inputs))
        if metric["type"] == "conversion":
            return self._conversion(name, metric, use)
        return self._filled(name, metric, use, self._simple(name, metric, use))

    def _input(self, entry: Entry, use: Use) -> str:
        filters = (*use.filters, *([self._condition(entry["filter"])] if entry.get("filter") else []))
        outer, self.present = self.present, []
        window: str | None = entry.get("offset_window")
        grain, moved = entry.get("offset_to_grain") or use.grain, use.moved
        if window and self.moves_rows:
            moved, window = f"{moved} {checked(window)}".strip(), None
        inner = self.use(entry["measure"], Use(filters, grain, moved))
        if window:
            self.present = [each | {"member": self._shifted(each["member"], window)} for each in self.present]
            inner = self._shifted(inner, window)
        self.present = [*outer, *self.present]
        return inner

    def _shifted(self, measure: str, window: str) -> str:
        cube, _, name = measure.partition(".")
        shift = [{"interval": checked(window), "type": "prior"}]
        entry = {"name": f"{name}__{slug(window)}_ago", "multi_stage": True, "type": "number", "time_shift": shift}
        return self.measure(cube, entry | {"sql": f"{{{measure}}}"})

    def _formula(self, name: str, use: Use, sql: str) -> str:
        cube, _, own = name.partition(".")
        return self.measure(cube, {"name": own + use.suffix, "type": "number", "sql": sql})

    def _condition(self, sql: str) -> str:
        """A filter; a metric in it becomes a sub-query dimension."""
        return _METRIC.sub(lambda found: f"{{{self.metric_per_entity(found.group(1), found.group(2))}}}", sql)

    def _simple(self, name: str, metric: Entry, use: Use) -> str:
        cube = name.partition(".")[0]
        entry = _only(metric, _MEASURE)
        if metric["type"] == "percentile":
            entry = {"type": "number", "sql": quantile(metric)}
        if metric.get("non_additive"):
            use = replace(use, filters=(*use.filters, self._at_the_edge(cube, metric)))
        unit = self.unit(name)
        if use.grain and "rolling_window" in metric:
            return self._rolled_to_start(name, metric, use, use.grain)
        if use.grain:
            entry |= self._as_of_start(metric, use.grain, unit)
            time = f"{{CUBE.{self.time_of(name)}"
            use = replace(use, filters=(*use.filters, f"{time}.{unit}}} = {time}.{use.grain}}}"))
        aggregated = metric.get("period_agg", "first") if self.period and entry.get("rolling_window") else "last"
        if aggregated == "first" and not use.grain:
            entry["rolling_window"] = first_of_period(entry["rolling_window"], self.period or unit, unit)
        entry["name"] = metric["name"] + use.suffix
        entry["filters"] = [{"sql": each} for each in use.filters]
        home = self._home(cube, name, use)
        made = self.measure(home, entry if home == cube else _renamed(entry, cube, home))
        if entry.get("rolling_window"):
            if aggregated == "average":
                made = self._averaged(made, f"{home}.{self.time_of(name)}.day")
            if aggregated == "first" and self.period and not use.grain and metric["type"] == "sum":
                made = self._first_found(home, made, metric, use, self.time_of(name))
            some = {"operator": "set"} if entry["type"] != "count_distinct" else {"operator": "gt", "values": ["0"]}
            self.present.append({"member": made, "rolled": True} | some)
            return made
        self._needs_rows(home, use, cube)
        return made

    def _first_found(self, cube: str, measure: str, metric: Entry, use: Use, time: str) -> str:
        """Where the window of a period's first day is empty: the rows of the first day that has any."""
        holds = " AND ".join(f"({each})" for each in use.filters) or "1 = 1"
        pairs = f"if({holds}, [toYYYYMMDD({{CUBE.{time}}})], []), if({holds}, [toFloat64({metric['sql']})], [])"
        first = f"arrayElement(tupleElement(sumMap({pairs}), 2), 1)"
        sql = f"CASE WHEN countIf({holds}) > 0 THEN {first} END"
        name = f"{metric['name']}{use.suffix}__first"
        rows = self.measure(cube, {"name": f"{name}_rows", "type": "number", "sql": sql})
        return self.measure(cube, {"name": name, "type": "number", "sql": f"COALESCE({{{measure}}}, {{{rows}}})"})

    def _averaged(self, measure: str, day: str) -> str:
        """The average over the days of a period."""
        cube, _, name = measure.partition(".")
        entry = {"name": f"{name}__average", "multi_stage": True, "type": "avg", "sql": f"{{{measure}}}"}
        return self.measure(cube, entry | {"add_group_by": [day]})

    def _needs_rows(self, home: str, use: Use, cube: str = "") -> None:
        """MetricFlow has no row for a group in which the filters of its metrics leave no row."""
        entry = {"name": f"rows{use.suffix}", "type": "count", "filters": [{"sql": each} for each in use.filters]}
        made = self.measure(home, _renamed(entry, cube, home) if cube else entry)
        self.present.append({"member": made, "operator": "gt", "values": ["0"]})

    def _home(self, cube: str, name: str, use: Use) -> str:
        """Where the measure lives: in its cube, or in the face of it that goes by the metric's own time."""
        default = (self.semantic(cube).get("defaults") or {}).get("agg_time_dimension")
        joined = any(each["name"] == CALENDAR for each in self.cubes[cube]["joins"])
        other = joined and self.time_of(name) != default
        return self.by_other_time(cube, self.time_of(name), use.moved) if other or use.moved else cube

    def _as_of_start(self, metric: Entry, grain: str, unit: str) -> Entry:
        """What was counted at the start of the period, on every day of it: the one such day in a window as long."""
        if metric["type"] not in ("sum", "count"):
            raise Untranslatable(f"a {metric['type']} as of the start of a period")
        window = {"trailing": f"1 {grain} -1 {unit}", "leading": f"1 {unit}", "offset": "start"}
        return {"rolling_window": window}

    def _rolled_to_start(self, name: str, metric: Entry, use: Use, grain: str) -> str:
        """All up to the start of the period: all up to the day, without the later days of the period."""
        time = f"{{CUBE.{self.time_of(name)}"
        if metric["rolling_window"].get("trailing") != "unbounded" or self.period:
            raise Untranslatable("a cumulative metric as of the start of a period, by longer periods")
        whole = self._simple(name, metric, replace(use, grain=None))
        window = {"type": "to_date", "granularity": grain}
        conditions = [*use.filters, f"{time}.day}} <> {time}.{grain}}}"]
        entry = _only(metric, _MEASURE) | {"name": metric["name"] + use.suffix + "__later", "rolling_window": window}
        later_days = self.measure(name.partition(".")[0], entry | {"filters": [{"sql": each} for each in conditions]})
        sql = f"NULLIF({{{whole}}} - COALESCE({{{later_days}}}, 0), 0)"
        made = self._formula(f"{name}__to_start", use, sql)
        self.present[-1] = {"member": made, "rolled": True, "operator": "set"}
        return made

    def _at_the_edge(self, cube: str, metric: Entry) -> str:
        """The condition of a semi-additive metric: a column of the cube's SELECT, made before any other filter."""
        edge, table = metric["non_additive"], self.cubes[cube]
        time = column_of(self.sql_of(f"{cube}.{edge['name']}"))
        partition = [f"dateTrunc('{each}', {time})" for each in self.buckets]
        partition += [column_of(self.sql_of(f"{cube}.{each}")) for each in edge.get("window_groupings") or ()]
        name = f"at_edge_of_{metric['name']}"
        if all(each["name"] != name for each in table["dimensions"]):
            source = f"({table['sql']})" if "sql" in table else table.pop("sql_table")
            flag = at_the_edge(edge["window_choice"], time, partition)
            table["sql"] = f"SELECT *, {flag} AS {name} FROM {source} AS source"
        self.dimension(cube, {"name": name, "sql": f"{{CUBE}}.{name}", "type": "boolean"})
        return f"{{{cube}.{name}}}"

    def _filled(self, name: str, metric: Entry, use: Use, measure: str) -> str:
        """A metric on the whole calendar, with a number where there is none."""
        sql = f"{{{measure}}}"
        if metric.get("fill_nulls_with") is not None:
            sql = f"COALESCE({sql}, {metric['fill_nulls_with']})"
        if metric.get("join_to_timespine") and self.dense and not metric.get("rolling_window"):
            sql = f"CASE WHEN {{{self.calendar}.points}} > 0 THEN {sql} END"
        if sql == f"{{{measure}}}":
            return measure
        return self._formula(f"{name}__filled", use, sql)

    def _conversion(self, name: str, metric: Entry, use: Use) -> str:
        cube = name.partition(".")[0]
        made = conversion_cube(self, cube, metric, use.filters)
        self.conversions[cube] = made["name"]
        self.cubes[made["name"]] = made
        self.join_calendar(made["name"], self.time_of(name))
        return f"{made['name']}.{metric['calculation']}"

    def view(self, entries: Sequence[Entry]) -> Entry:
        """The model as a file, with one view."""
        views = [{"name": "asked", "cubes": list(entries)}] if entries else []
        return {"cubes": list(self.cubes.values()), "views": views}


def _only(entry: Entry, keys: set[str]) -> Entry:
    return {key: value for key, value in entry.items() if key in keys}


def _renamed(value: Any, old: str, new: str) -> Any:
    """The same with another name for the cube in its SQL."""
    if isinstance(value, str):
        return re.sub(rf"\{{{old}(?=[.}}])", f"{{{new}", value)
    if isinstance(value, dict):
        return {key: _renamed(each, old, new) for key, each in value.items()}
    return [_renamed(each, old, new) for each in value] if isinstance(value, list) else value
