"""Answers a query by walking the rows: join by links, filter, group, measure, sort. Slow and plain on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.arithmetic import ratio
from tests.oracle.conditions import Predicate, bucket, local_text, predicate
from tests.oracle.derived import activity, entries, item_scores, participations, skills
from tests.oracle.members import DIMENSIONS, LINKS, MEASURES, RATES, REACHED, SEGMENTS
from tests.oracle.world import World

TO_MANY = {("questions", "question_skills"), ("quizzes", "quiz_questions")}
Query = dict[str, Any]
Key = tuple[Any, ...]
Scope = dict[str, Callable[[Any], bool]]


@dataclass(frozen=True, repr=False)
class Table:
    """Rows by column name, and how many there would be without limit and offset."""

    rows: list[dict[str, Any]]
    total: int


class Oracle:
    """The rows of every cube."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._tables: dict[str, list[Any]] = {}

    def table(self, cube: str) -> list[Any]:
        """The rows of a cube, made at first use."""
        if cube not in self._tables:
            self._tables[cube] = list(_TABLES[cube](self.world))
        return self._tables[cube]

    @cached_property
    def entries_of(self) -> dict[int, list[Any]]:
        """The entries of each quiz."""
        found: dict[int, list[Any]] = {}
        for entry in self.table("quiz_questions"):
            found.setdefault(entry.quiz.id, []).append(entry)
        return found

    def ask(self, query: Query, scope: Scope | None = None) -> Table:
        """The answer to a query in Cube's JSON, for a caller who sees the rows that `scope` lets through."""
        asked = _Asked(query)
        leaves = asked.leaves()
        owners = list(dict.fromkeys(leaf.split(".")[0] for leaf in leaves))
        parts = [
            _part(self, asked, owner, [leaf for leaf in leaves if leaf.startswith(f"{owner}.")], scope or {})
            for owner in owners or asked.key_cubes()[:1]
        ]
        keys = list(dict.fromkeys(key for part in parts for key in part))
        found = []
        for key in keys:
            values = {leaf: _of_nothing(leaf, asked.zone) for leaf in leaves}
            for part in parts:
                values.update(part.get(key, {}))
            row = dict(zip(asked.columns(), key, strict=True))
            row.update({name: _measured(name, values) for name in [*asked.measures, *asked.having_names()]})
            found.append(row)
        kept = [row for row in found if all(test(row) for test in asked.having())]
        ordered = _ordered(kept, asked)
        start = query.get("offset", 0)
        limited = ordered[start : start + query.get("limit", 10000)]
        names = [*asked.columns(), *asked.measures]
        return Table([{name: _shown(row[name], asked.zone) for name in names} for row in limited], len(kept))


_TABLES: dict[str, Callable[[World], Iterable[Any]]] = {
    "schools": lambda world: world.schools.values(),
    "students": lambda world: (person for person in world.people.values() if person.role == "student"),
    "teachers": lambda world: (person for person in world.people.values() if person.role == "teacher"),
    "classrooms": lambda world: world.classrooms.values(),
    "enrolments": lambda world: world.enrolments,
    "quizzes": lambda world: world.quizzes.values(),
    "questions": lambda world: world.questions.values(),
    "question_skills": lambda world: (skill for question in world.questions.values() for skill in skills(question)),
    "quiz_questions": entries,
    "sessions": lambda world: world.sessions.values(),
    "responses": lambda world: world.answers,
    "participations": participations,
    "item_scores": item_scores,
    "activity": activity,
    "quiz_results": lambda world: world.results,
    "events": lambda world: world.events,
}


class _Asked:
    """A query taken apart."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.zone: tzinfo = ZoneInfo(query.get("timezone", "UTC"))
        self.measures: list[str] = query.get("measures", [])
        self.dimensions: list[str] = query.get("dimensions", [])
        self.times: list[dict[str, Any]] = query.get("timeDimensions", [])
        self.segments: list[str] = query.get("segments", [])

    def leaves(self) -> list[str]:
        """The measures to compute, rates taken apart."""
        names = [*self.measures, *self.having_names()]
        return list(dict.fromkeys(leaf for name in names for leaf in RATES.get(name, (name,))))

    def columns(self) -> list[str]:
        """The names of the key columns."""
        buckets = [f"{each['dimension']}.{each['granularity']}" for each in self.times if each.get("granularity")]
        return [*self.dimensions, *buckets]

    def key_cubes(self) -> list[str]:
        """The cubes of the key columns."""
        names = [*self.dimensions, *(each["dimension"] for each in self.times if each.get("granularity"))]
        return list(dict.fromkeys(name.split(".")[0] for name in names))

    def having_names(self) -> list[str]:
        """Measures that are only filtered by."""
        names = [leaf["member"] for leaf in _leaves(self.query.get("filters", [])) if _is_measure(leaf["member"])]
        return [name for name in dict.fromkeys(names) if name not in self.measures]

    def having(self) -> list[Predicate]:
        """Conditions on finished rows."""
        return [_tree(each, _column, self.zone) for each in self.query.get("filters", []) if _is_having(each)]

    def where(self) -> list[dict[str, Any]]:
        """Conditions on rows, date ranges included."""
        ranges = [
            {"member": each["dimension"], "operator": "inDateRange", "values": each["dateRange"]}
            for each in self.times
            if each.get("dateRange")
        ]
        return [each for each in self.query.get("filters", []) if not _is_having(each)] + ranges


def _leaves(filters: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for each in filters:
        if "or" in each or "and" in each:
            yield from _leaves(each.get("or", each.get("and", [])))
        else:
            yield each


def _is_measure(name: str) -> bool:
    cube, _, member = name.partition(".")
    return name in RATES or name in REACHED or member in MEASURES.get(cube, {})


def _is_having(filter_: dict[str, Any]) -> bool:
    return any(_is_measure(leaf["member"]) for leaf in _leaves([filter_]))


def _column(name: str) -> Callable[[Any], Any]:
    return lambda row: row[name]


def _tree(filter_: dict[str, Any], getter: Callable[[str], Callable[[Any], Any]], zone: tzinfo) -> Predicate:
    for word, combine in (("or", any), ("and", all)):
        if word in filter_:
            tests = [_tree(each, getter, zone) for each in filter_[word]]
            return lambda row, tests=tests, combine=combine: combine(test(row) for test in tests)  # type: ignore[misc]
    return predicate(filter_["operator"], filter_.get("values", []), getter(filter_["member"]), zone)


def _root(cubes: list[str]) -> str | None:
    """The cube from which all others are reached over the fewest joins; the first of several."""
    lengths = {}
    for cube in cubes:
        paths = _paths(cube)
        if all(other in paths for other in cubes):
            lengths[cube] = len({edge for other in cubes for edge in zip(paths[other], paths[other][1:], strict=False)})
    return min(lengths, key=lambda cube: lengths[cube]) if lengths else None


def _paths(root: str) -> dict[str, list[str]]:
    found, queue = {root: [root]}, [root]
    while queue:
        cube = queue.pop(0)
        for other in [*LINKS.get(cube, {}), *(many for one, many in TO_MANY if one == cube)]:
            if other not in found:
                found[other] = [*found[cube], other]
                queue.append(other)
    return found


class _Walk:
    """Reaches the joined record of a cube from a row `(record of the root, record of the to-many cube or None)`."""

    def __init__(self, root: str, scope: Scope) -> None:
        self.root, self.scope, self.paths = root, scope, _paths(root)

    def record(self, cube: str) -> Callable[[Any], Any]:
        """A function from a row to the record, None where the join finds nothing or the caller may see nothing."""
        path = self.paths[cube]
        if len(path) > 1 and (path[-2], path[-1]) in TO_MANY:
            return lambda row: row[1]
        steps = [LINKS[here][there] for here, there in pairwise(path)]
        checks = [self.scope.get(there) for there in path[1:]]

        def reach(row: Any) -> Any:
            record = row[0]
            for step, check in zip(steps, checks, strict=True):
                record = getattr(record, step)
                if record is None or (check is not None and not check(record)):
                    return None
            return record

        return reach

    def value(self, name: str) -> Callable[[Any], Any]:
        """A function from a row to a dimension's value."""
        cube, _, member = name.partition(".")
        record, read = self.record(cube), DIMENSIONS[cube][member]

        def get(row: Any) -> Any:
            found = record(row)
            return None if found is None else read(found)

        return get


def _part(oracle: Oracle, asked: _Asked, owner: str, leaves: list[str], scope: Scope) -> dict[Key, dict[str, Any]]:
    """The measures of one cube, whatever is asked for beside it; conditions out of its reach do not bear on it."""
    base = [owner, *asked.key_cubes()]
    conditions: list[tuple[list[str], dict[str, Any] | str]] = [(_cubes_of(each), each) for each in asked.where()]
    conditions += [([name.split(".")[0]], name) for name in asked.segments]
    root = _root([*base, *(cube for cubes, _ in conditions for cube in cubes)])
    if root is None:
        conditions = [each for each in conditions if _root([*base, *each[0]]) is not None]
        root = _root([*base, *(cube for cubes, _ in conditions for cube in cubes)])
    assert root is not None, f"{base} cannot be joined"
    walk = _Walk(root, scope)
    tests = [_condition(walk, each, asked.zone) for _, each in conditions]
    if root in scope:
        allowed = scope[root]
        tests.insert(0, lambda row: allowed(row[0]))
    keys = [*(_key(walk, name, asked.zone) for name in asked.dimensions), *_buckets(walk, asked)]
    groups: dict[Key, list[Any]] = {} if keys else {(): []}
    used = [*base, *(cube for cubes, _ in conditions for cube in cubes)]
    for row in _rows(oracle, root, used, walk):
        if not tests or all(test(row) for test in tests):
            groups.setdefault(tuple(key(row) for key in keys), []).append(row)
    return {key: _measures(walk, owner, leaves, rows, asked.zone) for key, rows in groups.items()}


def _cubes_of(filter_: dict[str, Any]) -> list[str]:
    return [leaf["member"].split(".")[0] for leaf in _leaves([filter_])]


def _condition(walk: _Walk, condition: dict[str, Any] | str, zone: tzinfo) -> Predicate:
    return _segment(walk, condition) if isinstance(condition, str) else _tree(condition, walk.value, zone)


def _segment(walk: _Walk, name: str) -> Predicate:
    record, test = walk.record(name.split(".")[0]), SEGMENTS[name]
    return lambda row: (found := record(row)) is not None and test(found) is True


def _key(walk: _Walk, name: str, zone: tzinfo) -> Callable[[Any], Any]:
    get = walk.value(name)
    return lambda row: local_text(value, zone) if isinstance(value := get(row), datetime) else value


def _buckets(walk: _Walk, asked: _Asked) -> list[Callable[[Any], Any]]:
    def one(name: str, granularity: str) -> Callable[[Any], Any]:
        get, known = walk.value(name), dict[datetime | None, str | None]()

        def start(row: Any) -> str | None:
            moment = get(row)
            if moment not in known:
                known[moment] = bucket(moment, granularity, asked.zone)
            return known[moment]

        return start

    return [one(each["dimension"], each["granularity"]) for each in asked.times if each.get("granularity")]


def _rows(oracle: Oracle, root: str, cubes: list[str], walk: _Walk) -> Iterable[tuple[Any, Any]]:
    for one, many in TO_MANY:
        if many in cubes and root != many and many in walk.paths:
            record = walk.record(one)
            for row in oracle.table(root):
                base = record((row, None))
                for each in _many(oracle, many, base) or [None]:
                    yield row, each
            return
    for row in oracle.table(root):
        yield row, None


def _many(oracle: Oracle, cube: str, base: Any) -> list[Any]:
    if base is None:
        return []
    return skills(base) if cube == "question_skills" else oracle.entries_of.get(base.id, [])


def _measures(walk: _Walk, cube: str, names: list[str], rows: list[Any], zone: tzinfo) -> dict[str, Any]:
    """Measures over the different records of their cube in a group: joins never count a record twice."""
    record = walk.record(cube)
    records = list({id(found): found for row in rows if (found := record(row)) is not None}.values())
    return {
        name: _reached(walk, REACHED[name], rows)
        if name in REACHED
        else MEASURES[cube][name.partition(".")[2]](records, zone)
        for name in names
    }


def _reached(walk: _Walk, cube: str, rows: list[Any]) -> int:
    record = walk.record(cube)
    return len({id(found) for row in rows if (found := record(row)) is not None})


def _of_nothing(name: str, zone: tzinfo) -> Any:
    """A measure of a group in which its cube has no row: a count is 0, anything else unknown."""
    cube, _, member = name.partition(".")
    return 0 if name in REACHED else MEASURES[cube][member]([], zone)


def _measured(name: str, values: dict[str, Any]) -> Any:
    return ratio(*(values[leaf] for leaf in RATES[name])) if name in RATES else values[name]


def _ordered(rows: list[dict[str, Any]], asked: _Asked) -> list[dict[str, Any]]:
    order = asked.query.get("order", [])
    for name, direction in reversed([*(order.items() if isinstance(order, dict) else order)]):
        column = next((each for each in asked.columns() if each == name or each.startswith(f"{name}.")), name)
        known = [row for row in rows if row[column] is not None]
        known.sort(key=lambda row: row[column], reverse=direction == "desc")
        rows = known + [row for row in rows if row[column] is None]
    return rows


def _shown(value: Any, zone: tzinfo) -> Any:
    return local_text(value, zone) if isinstance(value, datetime) else value
