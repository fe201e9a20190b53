"""A SELECT over cubes → the JSON of a question, the columns of its answer, the place in the SQL of each part of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from core.errors import EduError, InvalidQuery, TooDeep
from engine.model.catalog import Catalog
from engine.query.access import SecurityContext
from engine.query.validation import canonical_zone
from engine.sqlapi.columns import Columns, Shown, read_columns
from engine.sqlapi.conditions import Conditions, Filter, Group, Leaf, Named
from engine.sqlapi.ranges import Range, ranges
from engine.sqlapi.reading import place, read, refused
from engine.sqlapi.sources import Sources, read_sources
from engine.sqlapi.terms import Term, Terms

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Translation:
    """The question, what its answer shows, and the place in the SQL of each path of the question's JSON.

    `payload` has no `limit` where the SQL has none: all rows are wanted.
    """

    payload: Json
    shown: tuple[Shown, ...]
    nodes: dict[str, exp.Expr]

    @contextmanager
    def told_in_sql(self) -> Iterator[None]:
        """A fault of the question within is told as one of the SQL: by line and column, not by a path."""
        try:
            yield
        except EduError as error:
            path, member = error.details.pop("path", None), error.details.get("member")
            node = self._at(path) or self._of(member)
            if "line" not in error.details:
                error.details |= place(node)
            raise

    def _at(self, path: str | None) -> exp.Expr | None:
        while path:
            if path in self.nodes:
                return self.nodes[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None

    def _of(self, member: str | None) -> exp.Expr | None:
        return next((each.term.node for each in self.shown if member in (each.term.full, each.term.column)), None)


def translate(text: Any, catalog: Catalog, context: SecurityContext, timezone: str) -> Translation:
    """The question that a SQL text asks; the errors of `reading`, and those of members that the caller may not ask."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidQuery('Invalid query format: "query" is required', hint="Send the SQL text as `query`.")
    try:
        return _Translator(read(text), catalog, context, timezone).run()
    except RecursionError:
        raise TooDeep("The SQL nests too deep.") from None


class _Translator:
    def __init__(self, tree: exp.Select, catalog: Catalog, context: SecurityContext, timezone: str) -> None:
        self.tree = tree
        self.timezone = timezone
        self.zone = canonical_zone(timezone) or "UTC"
        self.sources: Sources = read_sources(tree, catalog, context)
        self.terms = Terms(catalog, context, self.sources)
        self.nodes: dict[str, exp.Expr] = {}

    def run(self) -> Translation:
        columns = read_columns(self.tree, self.terms)
        where, having = self._clause("where", measures=False), self._clause("having", measures=True)
        self._check_used([*columns.asked, *where.used, *having.used])
        found = self._filters(where, having)
        spans, filters = ranges((each for each in found if not isinstance(each, Named)), self.zone)
        segments = [each.term for each in found if isinstance(each, Named)]
        payload: Json = {
            "measures": self._names("measures", (each for each in columns.asked if each.is_measure)),
            "dimensions": self._names("dimensions", (each for each in columns.asked if _is_plain(each))),
            "timeDimensions": self._times(columns.asked, spans),
            "filters": [self._json(each, f"filters[{index}]") for index, each in enumerate(filters)],
            "segments": self._names("segments", segments),
            "order": [[each.column, "desc" if down else "asc"] for each, down in columns.order],
            "timezone": self.timezone,
        }
        return Translation(payload | self._rest(columns), tuple(columns.shown), self.nodes)

    def _rest(self, columns: Columns) -> Json:
        hints = self.sources.hints()
        if hints:
            self.nodes["joinHints"] = next(iter(self.sources.nodes.values()))
        return {
            **({} if columns.limit is None else {"limit": columns.limit}),
            **({} if columns.offset is None else {"offset": columns.offset}),
            **({} if columns.grouped else {"ungrouped": True}),
            **({"joinHints": hints} if hints else {}),
        }

    def _clause(self, key: str, *, measures: bool) -> _Clause:
        node = self.tree.args.get(key)
        conditions = Conditions(self.terms, measures=measures)
        found = conditions.read(node.this) if node is not None else []
        if node is not None:
            self.nodes.setdefault("filters", node)
        return _Clause(found, conditions.used)

    def _filters(self, where: _Clause, having: _Clause) -> list[Filter]:
        found = [*where.filters, *having.filters]
        for each in found:
            if isinstance(each, Group):
                _check_segments(each)
        return found

    def _check_used(self, terms: Iterable[Term]) -> None:
        """A cube that is joined and of which nothing is asked would not be read: SQL would count its rows too."""
        used = {each.owner for each in terms}
        for alias, owner in self.sources.owners.items():
            if owner.name not in used and len(self.sources.owners) > 1:
                problem = f"'{owner.name}' is joined, and nothing of it is asked."
                raise refused(problem, self.sources.nodes[alias], "Leave it out of FROM.")

    def _names(self, key: str, terms: Iterable[Term]) -> list[str]:
        found = {each.full: each.node for each in terms}
        self.nodes |= {f"{key}[{index}]": node for index, node in enumerate(found.values())}
        return list(found)

    def _times(self, asked: list[Term], spans: dict[str, Range]) -> list[Json]:
        left = dict(spans)
        times: list[Json] = []
        for each in asked:
            if each.granularity is not None:
                self.nodes[f"timeDimensions[{len(times)}]"] = each.node
                span = left.pop(each.full, None)
                times.append({"dimension": each.full, "granularity": each.granularity, **_span(span)})
        for name, span in left.items():
            self.nodes[f"timeDimensions[{len(times)}]"] = span.node
            times.append({"dimension": name, **_span(span)})
        return times

    def _json(self, each: Filter, path: str) -> Json:
        if isinstance(each, Group):
            return {
                each.operator: [
                    self._json(part, f"{path}.{each.operator}[{index}]") for index, part in enumerate(each.parts)
                ]
            }
        assert isinstance(each, Leaf)  # noqa: S101 - segments were taken out before
        self.nodes[path] = each.node
        return each.json()


@dataclass(frozen=True, slots=True)
class _Clause:
    filters: list[Filter]
    used: list[Term]


def _is_plain(term: Term) -> bool:
    return not term.is_measure and term.granularity is None


def _span(span: Range | None) -> Json:
    return {} if span is None else {"dateRange": [span.first, span.last]}


def _check_segments(group: Group) -> None:
    for each in group.parts:
        if isinstance(each, Named):
            hint = "Join it to the rest by AND."
            raise refused(f"The segment '{each.term.full}' cannot stand in OR.", each.term.node, hint)
        if isinstance(each, Group):
            _check_segments(each)
