"""A MetricFlow question as a query in our format over its translated model."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.engine.metricflow.model import Model
from tests.engine.metricflow.terms import CALENDAR, CLOCK, PERIODS, SPANS, Entry, Untranslatable, calendar_of

_COMPARED = re.compile(r"^\{\{\s*Metric\('(\w+)',\s*\['(\w+)'\]\)\s*\}\}\s*(>=|<=|>|<|=)\s*([\d.]+)$")
_RANGES: dict[str, Callable[[list[str], str, str], list[str]]] = {
    "gte": lambda values, _, last: [values[0], last],
    "afterOrOnDate": lambda values, _, last: [values[0], last],
    "lte": lambda values, first, _: [first, values[0]],
    "beforeOrOnDate": lambda values, first, _: [first, values[0]],
    "equals": lambda values, *_: [values[0], values[0]],
    "inDateRange": lambda values, *_: [values[0], values[-1]],
}
_OPERATORS = {">": "gt", "<": "lt", ">=": "gte", "<=": "lte", "=": "equals"}


@dataclass
class Question:
    """One case: `model` grows by what the query needs."""

    case: Entry
    model: Model
    query: Entry = field(default_factory=dict)
    dense: bool = False

    def translated(self) -> tuple[Entry, Entry]:
        """The model file and the query; Untranslatable where Cube's words do not say it."""
        asked = self.case["cube_query"] or self._from_words()
        times = [dict(each) for each in asked.get("timeDimensions") or ()]
        self._calendars(times)
        self.model.buckets = tuple(each["granularity"] for each in times if each.get("granularity") in PERIODS)
        units = {self.model.unit(name) for name in asked.get("measures") or () if name in self.model.metrics}
        unit = min(units, default="day", key=PERIODS.index)
        self.model.period = _period([each.get("granularity") for each in times], unit)
        names = [self._measure(name) for name in asked.get("measures") or ()]
        self.query = {
            "measures": names,
            "dimensions": [self._renamed(name) for name in asked.get("dimensions") or ()],
            "timeDimensions": [],
            "filters": [self._filter(each) for each in asked.get("filters") or ()],
            "limit": 50000,
        }
        for each in times:
            self._time(each)
        if any(each.get("rolled") for each in self.model.present):
            self._points()
        self._present()
        return self._through_paths()

    # --- what is asked ----------------------------------------------------------------------------------------------

    def _from_words(self) -> Entry:
        """The query of a case which Cube's own format has no word for."""
        case = self.case
        if case.get("min_max_only"):
            return {"measures": list(self._ends(case["resolved_group_bys"][0]))}
        asked: Entry = {"measures": [self.model.named(name) for name in case["metrics"]], "dimensions": []}
        asked["timeDimensions"] = []
        for each in case["resolved_group_bys"]:
            self._group(each, asked)
        asked["filters"] = list(self._metric_filters(case["where"])) if case["where"] else []
        return asked

    def _group(self, group: Entry, asked: Entry) -> None:
        name = self._group_member(group)
        if group.get("date_part") and self._shifts(asked["measures"]):
            self.model.moves_rows = True
            for time in {time for listed in self.case["metric_time"].values() for time in listed}:
                self.model.join_calendar(*time.split("."))
            name = f"{CALENDAR}.ds"
        if group.get("date_part"):
            asked["dimensions"].append(self.model.date_part(name, group["date_part"]))
        elif group["kind"] in ("time", "metric_time"):
            asked["timeDimensions"].append({"dimension": name, "granularity": group["grain"] or "day"})
        else:
            asked["dimensions"].append(name)

    def _group_member(self, group: Entry) -> str:
        if group["kind"] != "metric_time":
            return f"{group['model']}.{group['name']}"
        times = {time for listed in self.case["metric_time"].values() for time in listed}
        return times.pop() if len(times) == 1 else f"{CALENDAR}.ds"

    def _shifts(self, measures: list[str]) -> bool:
        uses = (use for name in measures for use in self.model.metrics[name].get("uses", ()))
        return any(use.get("offset_window") or use.get("offset_to_grain") for use in uses)

    def _ends(self, group: Entry) -> Iterator[str]:
        cube, _, name = self._group_member(group).partition(".")
        for kind in ("min", "max"):
            yield self.model.measure(cube, {"name": f"{name}__{kind}", "type": kind, "sql": f"{{CUBE.{name}}}"})

    def _metric_filters(self, where: str) -> Iterator[Entry]:
        for text in re.split(r"\s+AND\s+", where.strip()):
            found = _COMPARED.match(text)
            if not found:
                raise Untranslatable(f"the condition {text}")
            metric, path, sign, value = found.groups()
            if not self.case["metrics"]:
                raise Untranslatable("the values of an entity that several tables have")
            member = self.model.metric_per_entity(metric, path)
            yield {"member": member, "operator": _OPERATORS[sign], "values": [value]}

    # --- time -------------------------------------------------------------------------------------------------------

    def _calendars(self, times: list[Entry]) -> None:
        """Join the facts to the calendar where the question is about several of them, or about empty days."""
        spined = [name for name in self._asked() if self._on_spine(name)]
        alone = not self._only_time()
        if alone or not (spined or any(each["dimension"] == "metric_time" for each in times)):
            for each in times:
                if each["dimension"] == "metric_time":
                    each["dimension"] = f"{CALENDAR}.ds"
            if not any(each["dimension"].startswith(f"{CALENDAR}.") for each in times):
                return
        self.dense = self.model.dense = bool(spined) and not alone
        own = {time for listed in self.case["metric_time"].values() for time in listed}
        for each in times:
            if each["dimension"] == "metric_time" or each["dimension"] in own:
                each["dimension"] = calendar_of(each.get("granularity"))
        calendar = self.model.calendar = (
            CLOCK if any(each["dimension"].startswith(CLOCK) for each in times) else CALENDAR
        )
        for cube in self.case["facts"]:
            first = next((time for time in sorted(own) if time.startswith(f"{cube}.")), None)
            default = (self.model.semantic(cube).get("defaults") or {}).get("agg_time_dimension")
            time = default if default and f"{cube}.{default}" in own else first and first.partition(".")[2]
            if time:
                self.model.join_calendar(cube, time, calendar)

    def _asked(self) -> list[str]:
        return list((self.case["cube_query"] or {}).get("measures") or ())

    def _only_time(self) -> bool:
        """With other dimensions, MetricFlow's empty days have NULL for them and are filtered away."""
        return not (self.case["cube_query"] or {}).get("dimensions")

    def _on_spine(self, name: str) -> bool:
        metric = self.model.metrics[name]
        inner = [each["measure"] for each in metric.get("uses", ())]
        return bool(metric.get("join_to_timespine")) or any(self._on_spine(each) for each in inner)

    def _time(self, each: Entry) -> None:
        each["dimension"] = self._renamed(each["dimension"])
        if each.get("granularity") == "alien_day":
            self.query["dimensions"].append(self.model.alien_day(each["dimension"]))
            return
        if each.get("dateRange") and each.get("granularity"):
            each["dateRange"] = widened(each["dateRange"], each["granularity"])
        self.query["timeDimensions"].append(each)

    # --- measures and filters ---------------------------------------------------------------------------------------

    def _measure(self, name: str) -> str:
        return self.model.use(name) if name in self.model.metrics else name

    def _renamed(self, name: str) -> str:
        cube, _, rest = name.partition(".")
        if name == "metric_time":
            return f"{CALENDAR}.ds"
        return f"{self.model.conversions.get(cube, cube)}.{rest}"

    def _filter(self, entry: Entry) -> Entry:
        for key in ("and", "or"):
            if key in entry:
                return {key: [self._filter(each) for each in entry[key]]}
        return entry | {"member": self._renamed(entry["member"])}

    def _points(self) -> None:
        """Conditions on the time of a cumulative metric choose points of its series, as a range of dates does."""
        for time in self.query["timeDimensions"]:
            kept = []
            for each in self.query["filters"]:
                edge = _RANGES.get(each.get("operator", "")) if each.get("member") == time["dimension"] else None
                if edge is None or time.get("dateRange"):
                    kept.append(each)
                else:
                    first, last = SPANS[calendar_of(time.get("granularity")).partition(".")[0]]
                    time["dateRange"] = edge(each["values"], first, last)
            self.query["filters"] = kept
            if time["dimension"] in _members(kept) and not self.query["dimensions"]:
                self._numbered(time)

    def _numbered(self, time: Entry) -> None:
        """Any other condition on points is one on the calendar's own days: a measure of the day itself."""
        cube, _, name = time["dimension"].partition(".")
        if cube != CALENDAR:
            self.model.join_calendar(cube, name)
        self.query["filters"] = [_by_number(each, time["dimension"]) for each in self.query["filters"]]
        time["dimension"] = f"{CALENDAR}.ds"

    def _present(self) -> None:
        """A cumulative metric runs over the whole spine; rows that no metric has are left out."""
        found = list({each["member"]: each for each in self.model.present}.values())
        rolled = [each.pop("rolled", False) for each in found]
        if any(rolled):
            for each in self.query["timeDimensions"]:
                each.setdefault("dateRange", list(SPANS[calendar_of(each.get("granularity")).partition(".")[0]]))
        narrow = any(rolled) or any("where" in each["member"] for each in found)
        if narrow and not self.dense and (self.query["dimensions"] or self.query["timeDimensions"]):
            self.query["filters"].append({"or": found} if len(found) > 1 else found[0])

    # --- join paths -------------------------------------------------------------------------------------------------

    def _through_paths(self) -> tuple[Entry, Entry]:
        """A view where MetricFlow goes by a path of several cubes."""
        paths = {
            each["model"]: [*self.case["facts"], *each["join_path"]]
            for each in self.case["resolved_group_bys"]
            if each.get("join_path") and each["join_path"][-1] == each.get("model")
        }
        if len(self.case["facts"]) != 1 or all(len(path) < 3 for path in paths.values()):
            return self.model.view(()), self.query
        included: dict[str, list[str]] = {}
        members = [*self.query["measures"], *self.query["dimensions"], *(_members(self.query["filters"]))]
        for name in [*members, *(each["dimension"] for each in self.query["timeDimensions"])]:
            cube = name.partition(".")[0]
            path = ".".join(paths.get(cube, dict.fromkeys([*self.case["facts"], cube])))
            included.setdefault(path, []).append(name.partition(".")[2])
        entries = [
            {"join_path": path, "includes": list(dict.fromkeys(names)), "prefix": True}
            for path, names in included.items()
        ]
        return self.model.view(entries), _of_view(self.query)


def widened(span: list[str], granularity: str) -> list[str]:
    """A range in whole buckets, as MetricFlow takes it."""
    start, end = (datetime.fromisoformat(each) for each in span)
    if granularity == "alien_day":
        return span
    return [_floor(start, granularity).isoformat(), (_next(_floor(end, granularity), granularity)).isoformat()]


def _floor(moment: datetime, granularity: str) -> datetime:
    if granularity == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if granularity == "week":
        return day - timedelta(days=day.weekday())
    months = {"month": 1, "quarter": 3, "year": 12}.get(granularity)
    return day.replace(day=1, month=(day.month - 1) // months * months + 1) if months else day


def _next(start: datetime, granularity: str) -> datetime:
    """The last millisecond of the bucket."""
    months = {"month": 1, "quarter": 3, "year": 12}.get(granularity)
    if months:
        last = start.month + months - 1
        end = start.replace(month=last, day=monthrange(start.year, last)[1]) + timedelta(days=1)
    else:
        end = start + {"hour": timedelta(hours=1), "week": timedelta(days=7)}.get(granularity, timedelta(days=1))
    return end - timedelta(milliseconds=1)


def _period(granularities: list[str | None], unit: str) -> str | None:
    """The finest bucket, if it is longer than the metrics' own (a day)."""
    known = sorted(PERIODS.index(each) for each in granularities if each in PERIODS)
    finer = any(each and each not in PERIODS for each in granularities)
    return PERIODS[known[0]] if known and known[0] > PERIODS.index(unit) and not finer else None


def _by_number(entry: Entry, member: str) -> Entry:
    for key in ("and", "or"):
        if key in entry:
            return {key: [_by_number(each, member) for each in entry[key]]}
    if entry["member"] != member:
        return entry
    values = [each[:10].replace("-", "") for each in entry["values"]]
    return entry | {"member": f"{CALENDAR}.day_number", "values": values}


def _members(filters: list[Entry]) -> Iterator[str]:
    for each in filters:
        if "member" in each:
            yield each["member"]
        else:
            yield from _members(each.get("and") or each.get("or") or [])


def _of_view(value: Any, key: str = "") -> Any:
    """The query with the view's names: `asked.cube_member`."""
    if isinstance(value, dict):
        return {name: _of_view(each, name) for name, each in value.items()}
    if isinstance(value, list) and key != "values" and key != "dateRange":
        return [_of_view(each, key) for each in value]
    named = key in ("measures", "dimensions", "member", "dimension") and isinstance(value, str)
    return f"asked.{value.replace('.', '_', 1)}" if named else value
