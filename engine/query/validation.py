"""The form of a query's JSON, checked before anything reads it; the texts of the faults are those of Cube's gateway.

Bounded: at most 64 levels deep, 1,000 conditions and 100,000 items in all; numbers are finite, texts valid Unicode.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from core.errors import InvalidQuery, TooComplex, TooDeep, nearest

Json = Any
Check = Callable[[Json, str], None]

MAX_DEPTH = 64
MAX_CONDITIONS = 1000
MAX_ITEMS = 100_000
MAX_TIMES = 100
MAX_QUERIES = 100
CACHE_MODES = ("stale-if-slow", "stale-while-revalidate", "must-revalidate", "no-cache")
_OPERATORS = (
    "equals notEquals contains notContains startsWith notStartsWith endsWith notEndsWith in notIn gt gte lt lte set "
    "notSet inDateRange notInDateRange onTheDate beforeDate beforeOrOnDate afterDate afterOrOnDate measureFilter"
)
OPERATORS = _OPERATORS.split()
_FORMAT = "Invalid query format: "
ONE_BY_ONE = ("contains", "notContains", "startsWith", "notStartsWith", "endsWith", "notEndsWith")
"""Operators that make a condition of each of their values."""
_FILTER_KEYS = frozenset({"member", "dimension", "operator", "values"})
_SAFE_INTEGER = 2**53 - 1
_CUBE = r"^[a-zA-Z0-9_]+$"
_MEMBER = r"^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$"
_DIMENSION = r"^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)?$"
_ORDER = r"^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$|^[a-zA-Z0-9_]+$|^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$"


def check_json(value: Json) -> None:
    """Refuse what is no JSON, nests too deep, is too much, has NaN or infinity, or half of a surrogate pair."""
    if not _plainly_fine(value):
        _Walk().check(value, 0, "")


def _plainly_fine(value: Json) -> bool:
    """Whether a payload is of the usual kind: small, shallow, and of nothing but plain texts and whole numbers.

    False says nothing: then `_Walk` looks closer, and tells where a fault is.
    """
    level, items = [value], 0
    for _ in range(MAX_DEPTH):
        inner: list[Json] = []
        for each in level:
            kind = type(each)
            if kind is dict:
                if not all(type(key) is str for key in each):
                    return False
                inner += each
                inner += each.values()
            elif kind is list:
                inner += each
            elif kind is str:
                if not each.isascii() or "\x00" in each:
                    return False
            elif kind is int:
                if not -_SAFE_INTEGER <= each <= _SAFE_INTEGER:
                    return False
            elif each is not None and kind is not bool:
                return False
        items += len(inner)
        if items > MAX_ITEMS:
            return False
        if not inner:
            return True
        level = inner
    return False


class _Walk:
    """One walk through a payload: counts its items."""

    def __init__(self) -> None:
        self.items = 0

    def check(self, value: Json, depth: int, path: str) -> None:
        if depth > MAX_DEPTH:
            raise _too_much(path, f"nests deeper than {MAX_DEPTH} levels", TooDeep)
        if isinstance(value, Mapping):
            self._count(len(value), path)
            for key, item in value.items():
                _check_text(key, path)
                self.check(item, depth + 1, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list | tuple):
            self._count(len(value), path)
            self._list(value, depth, path)
        else:
            _check_scalar(value, path)

    def _count(self, items: int, path: str) -> None:
        self.items += items
        if self.items > MAX_ITEMS:
            raise _too_much(path, f"is too much: a question may have {MAX_ITEMS} items")

    def _list(self, items: Sequence[Json], depth: int, path: str) -> None:
        for index, item in enumerate(items):
            if type(item) is not int or not -_SAFE_INTEGER <= item <= _SAFE_INTEGER:
                self.check(item, depth + 1, f"{path}[{index}]")


def _check_scalar(value: Json, path: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _invalid(path, "must be a finite number")
    elif isinstance(value, str):
        _check_text(value, path)
    elif not isinstance(value, int | None):
        raise _invalid(path, "is not JSON")
    elif isinstance(value, int) and value.bit_length() > 1024:
        raise _invalid(path, "must be a safe number")


def check_query(query: Json, path: str = "value") -> None:
    """The first fault in the form of one query, as InvalidQuery that names its JSON path."""
    if not isinstance(query, Mapping):
        raise _invalid(path, "must be of type object")
    for key, check in _KEYS.items():
        if key in query:
            check(query[key], key)
    for key in query:
        if key not in _KEYS:
            raise _named(_invalid(key, "is not allowed"), key, _KEYS)


def canonical_zone(name: str) -> str | None:
    """The IANA name in its own spelling, or None."""
    return _zones().get(name.lower())


@cache
def _zones() -> Mapping[str, str]:
    """Found when they are first asked for: the search takes longer than the import of a module should."""
    return {name.lower(): name for name in available_timezones()}


def _invalid(path: str, problem: str) -> InvalidQuery:
    return InvalidQuery(f'{_FORMAT}"{path or "value"}" {problem}', path=path or None)


def _named(error: InvalidQuery, name: str, known: Iterable[str]) -> InvalidQuery:
    """The same error with the names which might have been meant."""
    if close := nearest(name[:100], list(known)):
        error.details["nearest"] = close
        error.hint = f"Did you mean {' or '.join(close)}?"
    return error


def _too_much(path: str, problem: str, kind: type[TooComplex] = TooComplex) -> TooComplex:
    return kind(f'{_FORMAT}"{path[:200] or "value"}" {problem}', path=path[:200] or None)


def _check_text(text: Json, path: str) -> None:
    if not isinstance(text, str):
        raise _invalid(path, "has a key that is no text")
    if "\x00" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        safe = path.encode("utf-8", "replace").decode()
        raise _invalid(safe, "has a character that no database can keep")


def _text(value: Json, path: str) -> None:
    if not isinstance(value, str):
        raise _invalid(path, "must be a string")
    if not value:
        raise _invalid(path, "is not allowed to be empty")


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("$", r"\Z"), re.ASCII)


def _matching(pattern: str, *, or_object: bool = False) -> Check:
    compiled = _compiled(pattern)

    def check(value: Json, path: str) -> None:
        if or_object and isinstance(value, Mapping):
            if "expression" in value:
                raise InvalidQuery("Error: Expressions are not allowed in this context", path=path)
            raise _invalid(path, "does not match any of the allowed types")
        if or_object and not isinstance(value, str):
            raise _invalid(path, "must be one of [string, object]")
        _text(value, path)
        if not compiled.match(value):
            raise _invalid(path, f'with value "{value[:200]}" fails to match the required pattern: /{pattern}/')

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: Json, path: str) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise _invalid(path, f"must be one of [{', '.join(allowed)}]")

    return check


def _list_of(check_item: Check) -> Check:
    def check(value: Json, path: str) -> None:
        if not isinstance(value, list | tuple):
            raise _invalid(path, "must be an array")
        for index, item in enumerate(value):
            check_item(item, f"{path}[{index}]")

    return check


def _names(pattern: str) -> Check:
    """A list of members; that all are well spelled, as nearly always, is seen at once."""
    compiled, check = _compiled(pattern), _list_of(_matching(pattern, or_object=True))

    def check_names(value: Json, path: str) -> None:
        if type(value) is not list or not all(type(name) is str and compiled.match(name) for name in value):
            check(value, path)

    return check_names


def _count(value: Json, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(path, "must be a number")
    if abs(value) > _SAFE_INTEGER:
        raise _invalid(path, "must be a safe number")
    if value != int(value):
        raise _invalid(path, "must be an integer")
    if value < 0:
        raise _invalid(path, "must be greater than or equal to 0")


def _boolean(value: Json, path: str) -> None:
    if not isinstance(value, bool) and str(value).lower() not in ("true", "false"):
        raise _invalid(path, "must be a boolean")


def _zone(value: Json, path: str) -> None:
    _text(value, path)
    if canonical_zone(value) is None:
        raise _invalid(path, f'must be a valid IANA time zone, got "{value}"')


def _filters(value: Json, path: str) -> None:
    if not isinstance(value, list | tuple):
        raise _invalid(path, "must be an array")
    if _conditions(value) > MAX_CONDITIONS:
        raise _too_much(path, f"must contain at most {MAX_CONDITIONS} conditions")
    for index, item in enumerate(value):
        if not _is_filter(item):
            raise _blamed(_invalid(f"{path}[{index}]", "does not match any of the allowed types"), item)


def _conditions(filters: Json) -> int:
    """How many conditions there are, groups counted too."""
    if not isinstance(filters, list | tuple):
        return 0
    return len(filters) + sum(_more_conditions(item) for item in filters if isinstance(item, Mapping))


def _more_conditions(item: Mapping[str, Json]) -> int:
    """What a filter is beside one condition: those of a group, or one for each further value that is compared alone."""
    values = item.get("values")
    alone = item.get("operator") in ONE_BY_ONE and isinstance(values, list | tuple)
    further = max(len(values) - 1, 0) if alone else 0  # type: ignore[arg-type]
    return further + sum(_conditions(item.get(key)) for key in ("and", "or"))


def _is_filter(item: Json) -> bool:
    if not isinstance(item, Mapping):
        return False
    if item.keys() & {"and", "or"}:
        (name, *more), inner = item.keys(), next(iter(item.values()))
        return not more and name in ("and", "or") and isinstance(inner, list | tuple) and all(map(_is_filter, inner))
    member = item.get("member", item.get("dimension"))
    values = item.get("values", ())
    return (
        len(item.keys() & {"member", "dimension"}) == 1
        and item.keys() <= _FILTER_KEYS
        and isinstance(member, str)
        and re.match(_MEMBER[:-1] + r"\Z", member, re.ASCII) is not None
        and item.get("operator") in OPERATORS
        and isinstance(values, list | tuple)
        and all(value is None or isinstance(value, str | int | float) for value in values)
    )


def _blamed(error: InvalidQuery, item: Json) -> InvalidQuery:
    """The same error; its path leads to the condition within `item` that is wrong, and to the key where it is one."""
    path = error.details["path"]
    while isinstance(item, Mapping) and len(item) == 1 and (group := next(iter(item))) in ("and", "or"):
        inner = item[group] if isinstance(item[group], list | tuple) else ()
        found = next(((index, each) for index, each in enumerate(inner) if not _is_filter(each)), None)
        if found is None:
            break
        path, item = f"{path}.{group}[{found[0]}]", found[1]
    error.details["path"] = path
    if not isinstance(item, Mapping) or item.keys() & {"and", "or"}:
        error.hint = 'A condition is {"member", "operator", "values"}, a group {"and": [...]} or {"or": [...]}.'
        return error
    return _blamed_key(error, item, path)


def _blamed_key(error: InvalidQuery, item: Mapping[str, Json], path: str) -> InvalidQuery:
    member, operator, values = (item.get(key) for key in ("member", "operator", "values"))
    if unknown := sorted(item.keys() - _FILTER_KEYS):
        error.details["path"] = f"{path}.{unknown[0]}"
        return _named(error, unknown[0], _FILTER_KEYS)
    if operator not in OPERATORS:
        error.details["path"] = f"{path}.operator"
        error.hint = f"There are {', '.join(OPERATORS)}."
        return _named(error, str(operator), OPERATORS)
    if "values" in item and not isinstance(values, list | tuple):
        error.details["path"], error.hint = f"{path}.values", "values is a list of texts, numbers, true, false or null."
    elif "member" in item and "dimension" in item:
        error.hint = "dimension is another word for member: give one of them."
    elif not isinstance(member, str) or not re.match(_MEMBER[:-1] + r"\Z", member, re.ASCII):
        error.details["path"], error.hint = f"{path}.member", "A member is cube.name."
    else:
        error.details["path"], error.hint = f"{path}.values", "values is a list of texts, numbers, true, false or null."
    return error


def _time_dimension(item: Json, path: str) -> None:
    if not isinstance(item, Mapping):
        raise _invalid(path, "must be of type object")
    if "dimension" not in item:
        raise _invalid(f"{path}.dimension", "is required")
    for key, check in _TIME_KEYS.items():
        if key in item and not (key == "granularity" and item[key] is None):
            check(item[key], f"{path}.{key}")
    for key in item:
        if key not in _TIME_KEYS:
            raise _named(_invalid(f"{path}.{key}", "is not allowed"), key, _TIME_KEYS)
    if "dateRange" in item and "compareDateRange" in item:
        raise _invalid(path, "contains a conflict between optional exclusive peers [dateRange, compareDateRange]")


def _time_dimensions(value: Json, path: str) -> None:
    _list_of(_time_dimension)(value, path)
    if len(value) > MAX_TIMES:
        raise _too_much(path, f"must contain at most {MAX_TIMES} items")


def _granularity(value: Json, path: str) -> None:
    _text(value, path)
    if len(value.encode()) > 128:
        raise _invalid(path, "length must be less than or equal to 128 characters long")


def _date_range(value: Json, path: str) -> None:
    if isinstance(value, str):
        _text(value, path)
        return
    if not isinstance(value, list | tuple):
        raise _invalid(path, "must be one of [array, string]")
    if not value:
        raise _invalid(path, "must contain at least 1 items")
    if len(value) > 2:
        raise _invalid(path, "must contain less than or equal to 2 items")
    for index, item in enumerate(value):
        _text(item, f"{path}[{index}]")


def _order(value: Json, path: str) -> None:
    if isinstance(value, Mapping):
        for member, direction in value.items():
            if not re.match(_ORDER, member, re.ASCII):
                raise _invalid(f"{path}.{member}", "is not allowed")
            _direction(direction, f"{path}.{member}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _order_pair(item, f"{path}[{index}]")
    else:
        raise _invalid(path, "must be one of [object, array]")


def _order_pair(item: Json, path: str) -> None:
    if not isinstance(item, list | tuple):
        raise _invalid(path, "must be an array")
    if len(item) < 2:
        raise _invalid(path, "must contain at least 2 items")
    _order_member(item[0], f"{path}[0]")
    _direction(item[1], f"{path}[1]")
    if len(item) > 2:
        raise _invalid(path, "must contain at most 2 items")


def _refused(problem: str) -> Check:
    def check(_: Json, path: str) -> None:
        raise InvalidQuery(problem, path=path)

    return check


_direction = _one_of("asc", "desc")
_order_member = _matching(_ORDER)
_TIME_KEYS: Mapping[str, Check] = {
    "dimension": _matching(_MEMBER),
    "granularity": _granularity,
    "dateRange": _date_range,
    "compareDateRange": _list_of(_date_range),
}
_KEYS: Mapping[str, Check] = {
    "measures": _names(_MEMBER),
    "dimensions": _names(_DIMENSION),
    "filters": _filters,
    "timeDimensions": _time_dimensions,
    "order": _order,
    "segments": _names(_MEMBER),
    "timezone": _zone,
    "limit": _count,
    "offset": _count,
    "total": _boolean,
    "cacheMode": _one_of(*CACHE_MODES),
    "ungrouped": _boolean,
    "responseFormat": _one_of("default", "compact", "columnar"),
    "subqueryJoins": _refused("subqueryJoins are not allowed in this context"),
    "joinHints": _list_of(_list_of(_matching(_CUBE))),
    "maskedMembers": _refused("maskedMembers cannot be provided in the query"),
}
