"""Laws that hold whatever the right answer is: each takes a query and a way to ask, and says what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.engine.worlds.asks import columns
from tests.engine.worlds.cases import all_same

Json = dict[str, Any]
Rows = list[list[Any]]
Ask = Callable[[Json], Rows]
Law = Callable[[Json, Ask], str | None]
Groups = dict[tuple[Any, ...], list[Any]]


def bare(query: Json) -> Json:
    """The question without order, pages and total."""
    return {**{key: query[key] for key in query if key not in ("order", "limit", "offset", "total")}, "order": []}


def groups(query: Json, ask: Ask) -> Groups:
    """The measures of each group."""
    count = len(columns(query)) - len(query.get("measures", ()))
    return {tuple(row[:count]): row[count:] for row in ask(query)}


def permuted(query: Json, ask: Ask) -> str | None:
    """The order of members and filters never changes rows (but the first time dimension is the one that rolls)."""
    query = bare(query)
    turned = {
        key: value if key == "timeDimensions" or not isinstance(value, list) else value[::-1]
        for key, value in query.items()
    }
    names = columns(turned)
    places = [names.index(name) for name in columns(query)]
    return _differ(ask(query), [[row[place] for place in places] for row in ask(turned)])


def split(query: Json, ask: Ask) -> str | None:
    """Two filters are one filter joined by `and`; a filter twice is the filter once, also within an `or`."""
    query = bare(query)
    filters = query.get("filters", [])
    if not filters:
        return None
    joined = ask({**query, "filters": [{"and": filters}]})
    twice = ask({**query, "filters": [{"or": [each, each]} for each in filters]})
    rows = ask(query)
    return _differ(rows, joined) or _differ(rows, twice)


def widened(query: Json, more: str, ask: Ask) -> str | None:
    """Another measure removes no group and changes no measure."""
    query = bare(query)
    if not query.get("measures") or more in query["measures"]:
        return None
    before, after = groups(query, ask), groups({**query, "measures": [*query["measures"], more]}, ask)
    lost = [key for key in before if key not in after]
    changed = [key for key in before if key in after and not all_same([before[key]], [after[key][:-1]])]
    return f"{more} removes {lost}, changes {changed}" if lost or changed else None


def paged(query: Json, ask: Ask) -> str | None:
    """Pages under a total order, put together, are the whole."""
    query = {**bare(query), "order": [[name, "desc"] for name in columns(query)]}
    whole = ask(query)
    pages = [row for start in range(0, len(whole) + 1, 2) for row in ask({**query, "limit": 2, "offset": start})]
    return None if all_same(whole, pages) else f"whole {whole}\npages {pages}"


def summed(query: Json, finer: list[Json], ask: Ask) -> str | None:
    """The answer is the sum of the answers to the finer questions, group by group."""
    total: dict[tuple[Any, ...], float] = {}
    for each in finer:
        for key, (value, *_) in groups(each, ask).items():
            total[key] = total.get(key, 0) + (value or 0)
    whole = {key: float(value or 0) for key, (value, *_) in groups(query, ask).items()}
    left = {key: value for key, value in whole.items() if value}
    right = {key: value for key, value in total.items() if value}
    same = left.keys() == right.keys() and all(abs(left[key] - right[key]) < 1e-6 for key in left)
    return None if same else f"{left} is not the sum {right}"


def chosen(measure: str, dim: str, values: tuple[str, str], ask: Ask) -> str | None:
    """IN (a, b) = a + b, NOT IN (a, b) + IN (a, b) = all, for a measure that adds up."""

    def of(operator: str, *chosen: str) -> Json:
        return {"measures": [measure], "filters": [{"member": dim, "operator": operator, "values": list(chosen)}]}

    first = summed(of("equals", *values), [of("equals", each) for each in values], ask)
    return first or summed({"measures": [measure]}, [of("equals", *values), of("notEquals", *values)], ask)


def coarsened(measure: str, dim: str, ask: Ask) -> str | None:
    """A measure that adds up, by nothing, is the sum of it by the dimension."""
    fine = groups({"measures": [measure], "dimensions": [dim], "order": []}, ask)
    whole = ask({"measures": [measure]})[0][0] or 0
    return (
        None
        if abs(whole - sum(value or 0 for (value,) in fine.values())) < 1e-6
        else f"{whole} is not the sum of {fine}"
    )


def rolled_up(measure: str, time: str, fine: str, coarse: str, zone: str, ask: Ask) -> str | None:
    """A measure that adds up, by a coarse granularity, is the sum of it by a fine one within."""
    both = [{"dimension": time, "granularity": grain} for grain in (coarse, fine)]
    total: dict[Any, float] = {}
    for (start, _), (value,) in groups({"measures": [measure], "timeDimensions": both, "timezone": zone}, ask).items():
        total[start] = total.get(start, 0) + (value or 0)
    whole = groups({"measures": [measure], "timeDimensions": both[:1], "timezone": zone}, ask)
    wanted = {key: float(value or 0) for (key,), (value,) in whole.items()}
    same = total.keys() == wanted.keys() and all(abs(total[key] - wanted[key]) < 1e-6 for key in total)
    return None if same else f"{wanted} is not the sum {total}"


def same(left: Rows, right: Rows) -> bool:
    """The same rows in any order."""
    return _differ(left, right) is None


def _differ(left: Rows, right: Rows) -> str | None:
    rest = list(right)
    for row in left:
        found = next((each for each in rest if all_same([row], [each])), None)
        if found is None:
            return f"{row} of {left} is not in {right}"
        rest.remove(found)
    return f"{rest} more" if rest else None
