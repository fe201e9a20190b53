"""Random questions over a catalog: right ones, nearly right ones, mutated ones, plain nonsense.

One grammar over any `Random`: a seeded one makes thousands a second, one of hypothesis' shrinks what it finds.
"""

from __future__ import annotations

from random import Random
from typing import Any

from engine.model.catalog import Catalog, Cube, View
from engine.model.terms import PREDEFINED
from engine.query.validation import OPERATORS

Json = Any
_STRANGE = [
    *("", " ", "'", '"', "`", "\\", "%", "_", "{p0:String}", "{{x}}", "--", "/*", "; DROP TABLE x", "\n", "\t", "\x00"),
    *("NaN", "inf", "-0", "1e400", "0x10", "١٢", "null", "true", "2024-02-30", "9999-12-31", "today", "last 7 days"),
    *("0001-01-01", "2024-01-01T25:00:00", "from 2024 to 2025", "last 99999999 years", "😀", "ﬁ", "İ", "\ud800"),
    "a" * 300,
]
_NUMBERS = [0, 1, -1, 2**31, 2**53 + 1, -(2**63), 2**64, 2**70, 10**80, 0.5, -0.0, 1e-320, 1.7e308, 1e21]
_CONFUSABLES = str.maketrans({"a": "а", "e": "е", "o": "о", "c": "с", "i": "і"})
_ZONES = ["UTC", "Europe/Vienna", "europe/vienna", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"]
_BAD_ZONES = ["Mars/Olympus", "../etc/passwd", "GMT+14", "'", ""]
_DAYS = ["2024-01-01", "2025-10-26", "1900-01-01", "9999-12-31", "2024-02-29T12:30:00.123", "last 7 days"]
_BAD_DAYS = ["2024-02-30", "9999-12-31", "0001-01-01", "soon", "", "last 99999999 years", "2024-13-01T00:00"]
_KEYS = """
    measures dimensions timeDimensions filters segments order limit offset total timezone ungrouped responseFormat
    cache cacheMode joinHints subqueryJoins maskedMembers renewQuery member dimension operator values and or
    granularity dateRange compareDateRange __proto__
""".split()  # noqa: SIM905 - a list of thirty quoted words is harder to read
_DATES = {each for each in OPERATORS if "Date" in each}


class Questions:
    """Questions over one catalog, made with one `Random`; `oddity` is how often something is not right."""

    def __init__(self, catalog: Catalog, random: Random, oddity: float = 0.03) -> None:
        self.random = random
        self.oddity = oddity
        owners: list[Cube | View] = [*catalog.cubes.values(), *catalog.views.values()]
        self.measures = [each.full_name for owner in owners for each in owner.measures.values()]
        self.dimensions = [each.full_name for owner in owners for each in owner.dimensions.values()]
        self.segments = [each.full_name for owner in owners for each in owner.segments.values()]
        self.types = {name: getattr(catalog.primitive(name), "type", "") for name in self.dimensions}
        self.times = [name for name, kind in self.types.items() if kind == "time"]
        self.owners = [owner.name for owner in owners]

    def payload(self) -> Json:
        """What a client may send as `query`."""
        kind = self.random.random()
        if kind < 0.05:
            return self.nonsense(3)
        if kind < 0.10:
            return [self.query() for _ in range(self.random.randint(0, 3))]
        query = self.query()
        return self.mutated(query) if kind < 0.3 else query

    def odd(self) -> bool:
        """Whether something is to be wrong here."""
        return self.random.random() < self.oddity

    def pick(self, items: list[Any]) -> Any:
        """One of the items."""
        return self.random.choice(items)

    def some(self, most: int, make: Any) -> list[Any]:
        """Up to so many."""
        return [make() for _ in range(self.random.randint(0, most))]

    def scalar(self) -> Json:
        """Any value that is no list and no object."""
        return self.pick([None, True, False, *_NUMBERS, *_STRANGE])

    def nonsense(self, depth: int) -> Json:
        """Any JSON."""
        kind = self.random.random()
        if depth == 0 or kind < 0.4:
            return self.scalar()
        if kind < 0.7:
            return self.some(3, lambda: self.nonsense(depth - 1))
        return {str(self.pick([*_KEYS, *_STRANGE])): self.nonsense(depth - 1) for _ in range(self.random.randint(0, 3))}

    def name(self, known: list[str], of: str | None) -> str:
        """A member of one kind and one owner; an odd one is of another kind, misspelt or a look-alike."""
        if self.odd():
            every = [*self.measures, *self.dimensions, *self.segments]
            wrong = [self.pick(every)[:-1], self.pick(every).translate(_CONFUSABLES), self.pick(every), "a.b", "a"]
            return str(self.pick([*wrong, "__proto__.x", "system.tables", "quizzes.title.day.hour", "x`.`y"]))
        right = [name for name in known if name.startswith(f"{of}.")] if of else known
        return str(self.pick(right or known))

    def leaf(self, of: str | None) -> Json:
        """One condition, its values of the member's type."""
        pool = self.measures if self.random.random() < 0.2 else self.dimensions
        member = self.name(pool, of)
        kind = self.types.get(member, "number")
        dates = kind == "time"
        operator = self.pick([each for each in OPERATORS if self.odd() or (each in _DATES) == dates] or OPERATORS)
        values = [self.value(kind) for _ in range(self.random.choice([1, 1, 1, 2, 2, 3]))]
        return {"member": member, "operator": operator, "values": [] if self.odd() else values}

    def value(self, kind: str) -> Json:
        """A value to compare a member of that type with."""
        if self.odd():
            return self.scalar()
        if kind == "number":
            return self.pick([*_NUMBERS, "1", "2.5", None])
        if kind == "time":
            return self.pick(_DAYS)
        if kind == "boolean":
            return self.pick([True, False, "true", "false", 1, 0, None])
        return self.pick([text for text in _STRANGE if "\x00" not in text and "\ud800" not in text])

    def condition(self, of: str | None, depth: int = 2) -> Json:
        """A condition or a group of such."""
        if depth == 0 or self.random.random() < 0.7:
            return self.leaf(of)
        return {self.pick(["or", "and"]): self.some(3, lambda: self.condition(of, depth - 1))}

    def range(self) -> Json:
        """A date range."""
        if self.odd():
            return self.pick([*_BAD_DAYS, _BAD_DAYS])
        day = self.pick(_DAYS)
        return day if self.random.random() < 0.5 or " " in day else [day, self.pick(["2025-11-01", "2026-01-01T10:00"])]

    def time(self, of: str | None) -> Json:
        """One time dimension."""
        time: dict[str, Json] = {"dimension": self.name(self.times, of)}
        if self.random.random() < 0.8:
            time["granularity"] = self.pick(["decade", "", "'"]) if self.odd() else self.pick(list(PREDEFINED))
        if self.random.random() < 0.5:
            time["dateRange"] = self.range()
        elif self.random.random() < 0.1:
            time["compareDateRange"] = [self.range(), self.range()]
        return time

    def query(self) -> Json:
        """One query, mostly over one cube or view."""
        of = self.pick(self.owners) if self.random.random() < 0.8 else None
        query: dict[str, Json] = {
            "measures": [self.name(self.measures, of) for _ in range(self.pick([0, 1, 1, 2, 3]))],
            "dimensions": self.some(2, lambda: self.name(self.dimensions, of)),
        }
        options: dict[str, Any] = {
            "timeDimensions": lambda: self.some(2, lambda: self.time(of)),
            "filters": lambda: self.some(2, lambda: self.condition(of)),
            "segments": lambda: self.some(1, lambda: self.name(self.segments, of)),
            "order": lambda: self.order(of),
            "limit": lambda: self.pick([-1, 1.5, 50_001, "10", None] if self.odd() else [0, 1, 10, 50_000]),
            "offset": lambda: self.pick([-1, 2**53, "x"] if self.odd() else [0, 3, 2**52]),
            "total": lambda: self.pick([True, False]),
            "timezone": lambda: self.pick(_BAD_ZONES if self.odd() else _ZONES),
            "ungrouped": lambda: self.pick([True, False]),
            "responseFormat": lambda: self.pick(["default", "compact", "columnar"]),
        }
        query |= {key: make() for key, make in options.items() if self.random.random() < 0.3}
        return query

    def order(self, of: str | None) -> Json:
        """An order, as an object or as pairs."""
        names = self.some(2, lambda: self.name(self.measures + self.dimensions, of))
        pairs = [[name, self.pick(["asc", "desc"])] for name in names]
        return dict(pairs) if self.random.random() < 0.5 else pairs

    def mutated(self, query: Json) -> Json:
        """The query with one value, somewhere, replaced by nonsense, gone or doubled."""
        holder, key = self.pick(places(query))
        kind = self.random.randint(0, 3)
        if kind == 0:
            holder[key] = self.nonsense(2)
        elif kind == 1:
            holder[key] = self.scalar()
        elif kind == 2:
            del holder[key]
        else:
            holder[key] = [holder[key], holder[key]]
        return query


def places(value: Json) -> list[tuple[Any, Any]]:
    """Every place in a JSON value, as its holder and its key or index."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    found = [(value, key) for key, _ in items]
    return found + [place for _, item in items for place in places(item)]
