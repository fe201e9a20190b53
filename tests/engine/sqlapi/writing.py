"""A query's JSON → SQL over cubes, written down by what each filter means, with nothing of the translator in it."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.engine.worlds.asks import first_moment, last_moment
from tests.engine.worlds.columns import BOOLEAN, NUMBER, STRING, TIME

Json = dict[str, Any]
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class NotInSql(Exception):
    """SQL has no words for that."""


class Writer:
    """Writes queries over members whose types are known; the random style changes nothing of the meaning."""

    def __init__(self, types: dict[str, str], measures: set[str], style: int) -> None:
        self.types = types
        self.measures = measures
        self.random = Random(style)

    def write(self, query: Json) -> tuple[str, list[str]]:
        """The SQL, and the members in its columns."""
        times = [each for each in query.get("timeDimensions", ()) if "granularity" in each]
        buckets = {f"{each['dimension']}.{each['granularity']}": each for each in times}
        groups = {name: self.name(name) for name in dict.fromkeys(query.get("dimensions", ()))}
        groups |= {
            column: f"DATE_TRUNC('{each['granularity']}', {self.name(each['dimension'])})"
            for column, each in buckets.items()
        }
        rows = query.get("ungrouped", False)
        measures = {name: self.measure(name, rows=rows) for name in dict.fromkeys(query.get("measures", ()))}
        columns = {**groups, **measures}
        where, having = self.conditions(query)
        parts = ["SELECT " + ", ".join(self.shown(text, place) for place, text in enumerate(columns.values()))]
        parts.append(f"FROM {self.sources(query, [*columns, *self.filtered(query)])}")
        parts += [f"WHERE {' AND '.join(where)}"] if where else []
        if groups and not rows:
            by = [self.random.choice([text, str(place + 1)]) for place, text in enumerate(groups.values())]
            parts.append(f"GROUP BY {', '.join(by)}")
        parts += [f"HAVING {' AND '.join(having)}"] if having else []
        parts += self.page(query, list(columns), columns)
        return "\n".join(parts), list(columns)

    def name(self, name: str) -> str:
        """A member, quoted now and then."""
        cube, _, member = name.partition(".")
        return self.random.choice([name, f'"{cube}"."{member}"', f'{cube}."{member}"'])

    def measure(self, name: str, *, rows: bool = False) -> str:
        """An aggregate, or the measure itself where single rows are shown."""
        return self.name(name) if rows else f"{self.random.choice(['MEASURE', 'measure'])}({self.name(name)})"

    def shown(self, text: str, place: int) -> str:
        """A column, with an alias now and then."""
        return f"{text} AS a{place}" if self.random.random() < 0.3 else text

    def filtered(self, query: Json) -> list[str]:
        """The members of conditions."""
        found = list(query.get("segments", ()))
        found += [each["dimension"] for each in query.get("timeDimensions", ())]
        trees = list(query.get("filters", ()))
        while trees:
            tree = trees.pop()
            inner = tree.get("and") or tree.get("or")
            trees += inner or []
            found += [] if inner else [tree["member"]]
        return found

    def sources(self, query: Json, names: list[str]) -> str:
        """The cubes of the members, or their one view."""
        owners = list(dict.fromkeys(name.partition(".")[0] for name in names))
        return self.random.choice([" CROSS JOIN ", ", "]).join(owners)

    def page(self, query: Json, names: list[str], columns: dict[str, str]) -> list[str]:
        """ORDER BY, LIMIT and OFFSET."""
        order = [
            f"{self.random.choice([columns[name], str(names.index(name) + 1)])} {direction.upper()}"
            for name, direction in query.get("order", ())
            if name in columns
        ]
        found = [f"ORDER BY {', '.join(order)}"] if order else []
        found += [f"LIMIT {query['limit']}"] if "limit" in query else []
        return found + ([f"OFFSET {query['offset']}"] if "offset" in query else [])

    def conditions(self, query: Json) -> tuple[list[str], list[str]]:
        """WHERE and HAVING."""
        where = [f"{self.name(name)} IS TRUE" for name in query.get("segments", ())]
        having: list[str] = []
        for each in query.get("timeDimensions", ()):
            if "dateRange" in each:
                where.append(self.between(self.name(each["dimension"]), each["dateRange"]))
        for tree in query.get("filters", ()):
            self.sort(tree, where, having)
        return where, having

    def sort(self, tree: Json, where: list[str], having: list[str]) -> None:
        """A condition on rows or on groups; both in one OR cannot be said in SQL."""
        kinds = {name in self.measures for name in self.filtered({"filters": [tree]})}
        if len(kinds) > 1:
            if "and" not in tree:
                raise NotInSql
            for part in tree["and"]:
                self.sort(part, where, having)
        else:
            (having if True in kinds else where).append(self.tree(tree))

    def tree(self, tree: Json) -> str:
        """A condition in parentheses."""
        for operator in ("and", "or"):
            if operator in tree:
                text = f" {operator.upper()} ".join(self.tree(part) for part in tree[operator])
                return f"({text})" if self.random.random() < 0.7 else f"(NOT (NOT ({text})))"
        return f"({self.leaf(tree)})"

    def leaf(self, tree: Json) -> str:
        """One filter in SQL's words."""
        name, operator = tree["member"], tree["operator"]
        member = self.measure(name) if name in self.measures else self.name(name)
        kind = NUMBER if name in self.measures else self.types[name]
        values = [value for value in tree.get("values", ()) if value is not None]
        null = len(values) < len(tree.get("values", ()))
        if operator in ("set", "notSet"):
            return f"{member} IS {'NOT ' if operator == 'set' else ''}NULL"
        if operator in _SIGNS:
            literal = self.literal(values[0], kind)
            return f"{member} {_SIGNS[operator]} {literal}"
        if operator in ("equals", "in"):
            found = [self.one_of(member, values, kind)] if values else []
            return " OR ".join([*found, *([f"{member} IS NULL"] if null else [])])
        if operator in ("notEquals", "notIn"):
            if not values:
                return f"{member} IS NOT NULL"
            other = f"NOT ({self.one_of(member, values, kind)})"
            return other if null else f"{other} OR {member} IS NULL"
        if kind == TIME:
            return self.dated(member, operator, values)
        return self.like(member, operator, values, null=null)

    def one_of(self, member: str, values: list[str], kind: str) -> str:
        """Equal to one of the values."""
        literals = [self.literal(value, kind) for value in values]
        if self.random.random() < 0.5:
            return " OR ".join(f"{member} = {each}" for each in literals)
        return f"{member} IN ({', '.join(literals)})"

    def literal(self, value: str, kind: str) -> str:
        """A constant."""
        if kind == NUMBER:
            return str(value)
        if kind == BOOLEAN:
            return str(value).upper()
        return "'" + str(value).replace("'", "''") + "'"

    def like(self, member: str, operator: str, values: list[str], *, null: bool) -> str:
        """Patterns; what is left out keeps NULL, as the filters do."""
        negative = operator.startswith("not")
        before, after = {"contains": ("%", "%"), "startsWith": ("", "%"), "endsWith": ("%", "")}[
            operator[3].lower() + operator[4:] if negative else operator
        ]
        found = []
        for value in values:
            escaped = str(value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            pattern = f"{before}{escaped}{after}"
            found.append(f"{member} {'NOT ' if negative else ''}ILIKE {self.literal(pattern, STRING)}")
        if not negative:
            return " OR ".join([*found, *([f"{member} IS NULL"] if null else [])])
        if not found:
            return f"{member} IS NOT NULL"
        every = " AND ".join(found)
        return every if null else f"({every}) OR {member} IS NULL"

    def dated(self, member: str, operator: str, values: list[str]) -> str:
        """Conditions on days; a day ends with its last millisecond."""
        if operator in ("inDateRange", "onTheDate"):
            return self.between(member, values)
        if operator == "notInDateRange":
            return f"NOT ({self.between(member, values)})"
        moment, sign = {
            "beforeDate": (first_moment, "<"),
            "afterOrOnDate": (first_moment, ">="),
            "beforeOrOnDate": (last_moment, "<="),
            "afterDate": (last_moment, ">"),
        }[operator]
        return f"{member} {sign} '{moment(values[0]).isoformat(sep=' ', timespec='milliseconds')}'"

    def between(self, member: str, span: list[str]) -> str:
        """Both ends belong to it."""
        start, end = first_moment(span[0]), last_moment(span[-1])
        first, last = (each.isoformat(sep=" ", timespec="milliseconds") for each in (start, end))
        if self.random.random() < 0.5:
            return f"{member} BETWEEN '{first}' AND '{last}'"
        return f"({member} >= '{first}' AND '{last}' >= {member})"
