"""A query as it came → frozen `Query` objects and their echo, in the order of steps of Cube's gateway.

compareDateRange is expanded, the form is checked, the limit set, filter values become texts, relative dates become
ranges, `cube.time.granularity` among the dimensions becomes a time dimension.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from core.errors import InvalidDate, InvalidQuery, QueryError
from engine.query.dates import day_edge, parse_range
from engine.query.request import DateRange, Filter, FilterGroup, FilterTree, Order, Query, TimeDimension
from engine.query.validation import MAX_QUERIES, canonical_zone, check_json, check_query

Json = dict[str, Any]

DEFAULT_LIMIT = 10_000
MAX_LIMIT = 50_000
REGULAR, COMPARE, BLENDING = "regularQuery", "compareDateRangeQuery", "blendingQuery"
EMPTY = "Query should contain either measures, dimensions or timeDimensions with granularities in order to be valid"
EMPTY_HINT = "Name at least one of Measures, Dimensions or a time dimension with a granularity."
_RANGE_OPERATORS = frozenset({"inDateRange", "notInDateRange", "onTheDate"})
_EDGE_OPERATORS = {"beforeDate": False, "afterOrOnDate": False, "beforeOrOnDate": True, "afterDate": True}
_VALUELESS = frozenset({"set", "notSet", "measureFilter"})
_ABSOLUTE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """What one call asks: its queries, and each as JSON the way the answer shows it again.

    `compared` is the place of the time dimension whose ranges are compared; `given` are the queries as they came;
    `passing` tells that a date in them depends on when it was read (`last week`).
    """

    type: str
    queries: tuple[Query, ...]
    echoes: tuple[Json, ...]
    cache: str
    compared: int | None = None
    given: tuple[Any, ...] = ()
    passing: bool = False

    def place(self, index: int, path: str) -> str:
        """A path within query number `index` as one within the whole request."""
        return _place(self.type, self.compared, index, path)

    @property
    def pivot(self) -> Json:
        """The query by which the client pivots all the results together."""
        first = self.echoes[0]
        if self.type == COMPARE:
            first = {**first, "dimensions": ["compareDateRange", *first["dimensions"]]}
        elif self.type == BLENDING:
            first = {key: _unique(echo[key] for echo in self.echoes) for key in ("measures", "dimensions")}
            first["timeDimensions"] = [{"dimension": "time", "granularity": _granularities(self.echoes)[0]}]
        return {**first, "queryType": self.type}


def _place(kind: str, compared: int | None, index: int, path: str) -> str:
    if kind == BLENDING:
        return f"[{index}].{path}"
    if kind == COMPARE:
        time = f"timeDimensions[{compared}]"
        return path.replace(f"{time}.dateRange", f"{time}.compareDateRange[{index}]", 1)
    return path


def normalize(payload: Any, *, now: datetime, default_time_zone: str, cache: str | None = None) -> Request:
    """The request in `payload` (a query, a list of queries, or JSON text of either) at the aware time `now`.

    Raises InvalidQuery and InvalidDate, which name the JSON path where there is one.
    """
    payload = _decoded(payload)
    check_json(payload)
    blending = isinstance(payload, list | tuple)
    compared = None if blending else _compared(payload)
    queries = list(payload) if blending else _expand(payload, compared)
    kind = BLENDING if blending else REGULAR if compared is None else COMPARE
    if not 0 < len(queries) <= MAX_QUERIES:
        raise InvalidQuery(f"Invalid query format: ask between 1 and {MAX_QUERIES} queries at once")
    one = _Normaliser(now, default_time_zone, cache)
    done = [one.run(query, partial(_place, kind, compared, index)) for index, query in enumerate(queries)]
    found, echoes = tuple(query for query, _ in done), tuple(echo for _, echo in done)
    request = Request(kind, found, echoes, one.cache, compared, tuple(queries), one.passing)
    if kind == BLENDING:
        _check_blending(request)
    return request


def _decoded(payload: Any) -> Any:
    if payload is None or payload in ("", "undefined"):
        raise InvalidQuery("Query param is required")
    if not isinstance(payload, str | bytes):
        return payload
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        reason = "Unexpected end of JSON input" if _cut_short(payload, error.pos) else str(error)
        raise InvalidQuery(f"Unable to decode query param as JSON, error: {reason}") from None


def _cut_short(payload: str | bytes, position: int) -> bool:
    return position >= len(payload.rstrip())


def _compared(query: Any) -> int | None:
    """The place of the time dimension that has a `compareDateRange`."""
    times = query.get("timeDimensions") if isinstance(query, Mapping) else None
    if not isinstance(times, list | tuple):
        return None
    found = [
        place
        for place, time in enumerate(times)
        if isinstance(time, Mapping) and time.get("compareDateRange") is not None
    ]
    if len(found) > 1:
        raise InvalidQuery("compareDateRange can only exist for one timeDimension")
    if not found:
        return None
    check_query({"timeDimensions": times})
    return found[0]


def _expand(query: Any, compared: int | None) -> list[Any]:
    """One query for each range of `compareDateRange`; the query itself where there is none."""
    if compared is None:
        return [query]
    times = list(query["timeDimensions"])
    rest = {key: value for key, value in times[compared].items() if key != "compareDateRange"}
    spans = times[compared]["compareDateRange"]
    return [
        {**query, "timeDimensions": [*times[:compared], {**rest, "dateRange": span}, *times[compared + 1 :]]}
        for span in spans
    ]


def _check_blending(request: Request) -> None:
    granularities = _granularities(request.echoes)
    if len(granularities) > 1:
        raise InvalidQuery("Data blending query granularities must match")
    if not granularities:
        raise InvalidQuery("Data blending query without granularity is not supported")


def _granularities(echoes: Sequence[Json]) -> list[str]:
    firsts = (echo["timeDimensions"][0] for echo in echoes if echo["timeDimensions"])
    return _unique([first["granularity"]] for first in firsts if "granularity" in first)


def _unique(lists: Any) -> list[str]:
    return list(dict.fromkeys(item for items in lists for item in items))


class _Normaliser:
    """One call: its clock, its zone, its cache mode (the HTTP parameter wins over the query's)."""

    def __init__(self, now: datetime, default_time_zone: str, cache: str | None) -> None:
        self.now = now
        self.default_time_zone = default_time_zone
        self.forced_cache = cache
        self.cache = ""
        self.passing = False

    def run(self, raw: Any, place: Callable[[str], str]) -> tuple[Query, Json]:
        """The query and its echo; `place` makes of a fault's path the one within the whole request."""
        try:
            return self._run(raw)
        except QueryError as error:
            if "path" in error.details:
                error.details["path"] = place(error.details["path"])
            raise

    def _run(self, raw: Any) -> tuple[Query, Json]:
        if isinstance(raw, Mapping):
            cache = self.forced_cache or raw.get("cache") or raw.get("cacheMode") or "stale-if-slow"
            zone = raw.get("timezone") or self.default_time_zone
            raw = {**{key: raw[key] for key in raw if key != "cache"}, "cacheMode": cache, "timezone": zone}
        check_query(raw)
        self.cache = self.cache or raw["cacheMode"]
        self.zone = canonical_zone(raw["timezone"]) or "UTC"
        return self._query(raw)

    def _query(self, raw: Json) -> tuple[Query, Json]:
        dimensions, times = self._dimensions(raw)
        if not (raw.get("measures") or raw.get("dimensions") or any(time.granularity for time in times)):
            raise InvalidQuery(EMPTY, hint=EMPTY_HINT, ossie="E_EMPTY_AGGREGATION_QUERY")
        filters = [self._filter(item, f"filters[{index}]") for index, item in enumerate(raw.get("filters", ()))]
        query = Query(
            measures=tuple(raw.get("measures", ())),
            dimensions=dimensions,
            time_dimensions=times,
            filters=tuple(tree for tree, _ in filters),
            segments=tuple(raw.get("segments", ())),
            order=_order(raw["order"]) if "order" in raw else None,
            limit=_limit(raw.get("limit", DEFAULT_LIMIT)),
            offset=int(raw["offset"]) if "offset" in raw else None,
            total=_true(raw.get("total")),
            timezone=self.zone,
            ungrouped=_true(raw.get("ungrouped")),
            response_format=raw.get("responseFormat", "default"),
            join_hints=tuple(tuple(hint) for hint in raw.get("joinHints", ())),
        )
        return query, _echo(query, [shown for _, shown in filters], raw)

    def _dimensions(self, raw: Json) -> tuple[tuple[str, ...], tuple[TimeDimension, ...]]:
        names = raw.get("dimensions", ())
        given = enumerate(raw.get("timeDimensions", ()))
        times = [self._time(each, f"timeDimensions[{index}]") for index, each in given]
        for name in names:
            if name.count(".") == 2:
                dimension, _, granularity = name.rpartition(".")
                times.append(TimeDimension(dimension, granularity))
        return tuple(name for name in names if name.count(".") == 1), tuple(times)

    def _time(self, raw: Json, path: str) -> TimeDimension:
        if "compareDateRange" in raw:
            problem = "compareDateRange cannot be used in a data blending query"
            raise InvalidQuery(problem, path=f"{path}.compareDateRange")
        with _placed(f"{path}.dateRange"):
            span = self._range(raw["dateRange"]) if "dateRange" in raw else None
        return TimeDimension(raw["dimension"], raw.get("granularity"), span)

    def _range(self, given: str | Sequence[str]) -> DateRange:
        if isinstance(given, str):
            return self._read(given)
        return _absolute(given[0], end=False), _absolute(given[-1], end=True)

    def _read(self, text: str) -> DateRange:
        self.passing = self.passing or not _ABSOLUTE.fullmatch(text)
        return parse_range(text, self.now, self.zone)

    def _filter(self, raw: Json, path: str) -> tuple[FilterTree, Json]:
        for group in ("or", "and"):
            if group in raw:
                inner = [self._filter(item, f"{path}.{group}[{index}]") for index, item in enumerate(raw[group])]
                tree = FilterGroup(group, tuple(each for each, _ in inner))
                return tree, {group: [shown for _, shown in inner]}
        member = raw.get("member") or raw["dimension"]
        operator = raw["operator"]
        values = [_as_text(value) for value in raw.get("values", ())]
        if not values and operator not in _VALUELESS:
            raise InvalidQuery(f"Values required for filter: {_spelled(raw)}", path=f"{path}.values", member=member)
        with _placed(f"{path}.values"):
            resolved, shown = self._dates(operator, values)
        echo: Json = {"member": member, "operator": operator}
        return Filter(member, operator, tuple(resolved)), echo | ({"values": shown} if "values" in raw else {})

    def _dates(self, operator: str, values: list[str | None]) -> tuple[list[str | None], list[str | None]]:
        """The values to compare with, and the values to show."""
        if operator not in _RANGE_OPERATORS and operator not in _EDGE_OPERATORS:
            return values, values
        texts = [value for value in values if value is not None]
        if not texts:
            raise InvalidQuery("Expected one parameter but nothing found")
        if operator in _EDGE_OPERATORS:
            return self._edge(texts[0], values, end=_EDGE_OPERATORS[operator])
        if len(texts) == 1:
            span = self._read(texts[0])
            return list(span), list(span)
        if not all(_ABSOLUTE.fullmatch(text) for text in texts):
            raise InvalidQuery(
                "Relative-date strings are only supported when `values` has a single element for operator "
                f"`{operator}`. Pass an absolute two-element [start, end] pair, or a single relative string like "
                f'["last 2 weeks"]. Got: {orjson.dumps(values).decode()}'
            )
        return [_absolute(texts[0], end=False), _absolute(texts[1], end=True)], values

    def _edge(self, text: str, values: list[str | None], *, end: bool) -> tuple[list[str | None], list[str | None]]:
        if _ABSOLUTE.fullmatch(text):
            return [_absolute(text, end=end)], values
        moment = self._read(text)[end]
        return [moment], [moment]


@contextmanager
def _placed(path: str) -> Iterator[None]:
    """A fault within is one at `path`."""
    try:
        yield
    except QueryError as error:
        error.details.setdefault("path", path)
        raise


def _spelled(raw: Json) -> str:
    return orjson.dumps(raw).decode()


def _absolute(text: str, *, end: bool) -> str:
    try:
        return day_edge(text, end=end)
    except (ValueError, OverflowError):
        raise InvalidDate(f"Can't parse date: '{text}'") from None


def _limit(limit: float) -> int:
    if limit > MAX_LIMIT:
        raise InvalidQuery("Error: The query limit has been exceeded.", path="limit", limit=limit, maximum=MAX_LIMIT)
    return int(limit)


def _true(value: Any) -> bool:
    return value is not None and str(value).lower() == "true"


def _order(raw: Any) -> tuple[Order, ...]:
    pairs = raw.items() if isinstance(raw, Mapping) else raw
    return tuple(Order(member, direction == "desc") for member, direction in pairs)


def _as_text(value: Any) -> str | None:
    """A filter value as text, numbers the way JavaScript writes them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else number_text(value)


def number_text(number: float) -> str:
    """The shortest text that reads back as `number`: `3`, `12.5`, `1e-7`, `1e+21`."""
    text = repr(number)
    if text.endswith(".0"):
        return text[:-2] if text != "-0.0" else "0"
    if "e" not in text:
        return text if abs(number) >= 1e-6 else f"{Decimal(text):e}"
    if 1e-6 <= abs(number) < 1e21:
        return f"{Decimal(text):f}"
    digits, _, exponent = text.partition("e")
    return f"{digits.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"


_ECHOED = ("segments", "offset", "total", "ungrouped", "responseFormat", "joinHints")


def _echo(query: Query, filters: list[Json], raw: Json) -> Json:
    echo: Json = {
        "measures": list(query.measures),
        "dimensions": list(query.dimensions),
        "timeDimensions": [_echo_time(each) for each in query.time_dimensions],
    }
    echo |= {key: raw[key] for key in _ECHOED if key in raw}
    echo |= {"limit": query.limit, "timezone": query.timezone, "filters": filters, "rowLimit": query.limit}
    if query.order is not None:
        echo["order"] = [{"id": each.member, "desc": each.desc} for each in query.order]
    return echo


def _echo_time(each: TimeDimension) -> Json:
    shown: Json = {"dimension": each.dimension}
    if each.date_range is not None:
        shown["dateRange"] = list(each.date_range)
    return shown | ({"granularity": each.granularity} if each.granularity is not None else {})
