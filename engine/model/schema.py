"""Which keys each thing of a model may have, and a reader that collects every mistake with its line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from core.errors import ModelError, nearest
from engine.model.document import Entry, Items, doubled, numbered, plain, snake, snake_keys
from engine.model.references import parse_sql
from engine.model.terms import Shown, Source, Sql

_SHOWN = "name title description public shown visible meta"
_UI = "aliases format currency mask"
KEYS: dict[str, frozenset[str]] = {
    kind: frozenset(text.split())
    for kind, text in {
        "file": "cubes views view_groups",
        "cube": f"{_SHOWN} sql sql_table sql_alias data_source extends refresh_key rewrite_queries joins measures "
        "dimensions segments hierarchies pre_aggregations access_policy calendar final tenant",
        "view": f"{_SHOWN} extends data_source access_policy refresh_key cubes folders default_filters hierarchies "
        "view_group view_groups joins measures dimensions segments sql_alias",
        "view_group": "name title description includes views",
        "dimension": f"{_SHOWN} {_UI} sql type case latitude longitude primary_key sub_query "
        "propagate_filters_to_sub_query granularities suggest_filter_values enable_suggestions values_as_segments "
        "field_type order key links values multi_stage add_group_by filter time_shift personal",
        "measure": f"{_SHOWN} {_UI} sql type filters drill_members drill_filters rolling_window cumulative multi_stage "
        "group_by reduce_by add_group_by grain filter time_shift order_by case non_additive",
        "segment": f"{_SHOWN} sql aliases",
        "join": "name relationship sql",
        "hierarchy": "name title public levels",
        "granularity": "name title interval origin offset sql",
        "case": "when else switch",
        "when": "sql label value",
        "label": "sql",
        "rolling_window": "type trailing leading offset granularity",
        "non_additive": "name window_choice window_groupings",
        "grain": "exclude keep_only include",
        "stage_filter": "mode exclude keep_only include",
        "time_shift": "time_dimension interval type name sql",
        "order_by": "sql dir",
        "policy": "group groups role conditions member_level member_masking row_level",
        "members": "includes excludes",
        "rows": "filters allow_all",
        "tenant": "member shared",
        "condition": "member operator values and or",
        "default_filter": "member operator values unless",
        "pre_aggregation": "name type measures dimensions segments time_dimension granularity time_dimensions rollups "
        "refresh_key partition_granularity build_range_start build_range_end indexes sql_alias scheduled_refresh "
        "unique_key_columns union_with_source_data allow_non_strict_date_range_match external read_only stream_offset "
        "output_column_types use_original_sql_pre_aggregations refresh_range_start refresh_range_end "
        "measure_references dimension_references segment_references time_dimension_reference rollup_references",
        "rollup_time": "dimension granularity",
        "included_cube": "join_path includes excludes prefix split alias",
        "included_member": "name alias title description format meta",
        "folder": "name includes join_path title",
    }.items()
}
DIMENSION_TYPES = ("string", "number", "boolean", "time", "geo", "switch")
MEASURE_TYPES = (
    *("count", "count_distinct", "count_distinct_approx", "sum", "avg", "min", "max"),
    *("number", "string", "time", "boolean", "number_agg", "rank", "running_total"),
)
RELATIONSHIPS = {
    "one_to_one": "one_to_one", "has_one": "one_to_one", "one_to_many": "one_to_many", "has_many": "one_to_many",
    "many_to_one": "many_to_one", "belongs_to": "many_to_one",
}  # fmt: skip
_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_LONGEST_NAME = 200
_RESERVED = frozenset(
    ("CUBE", "TABLE", "FILTER_PARAMS", "FILTER_GROUP", "SECURITY_CONTEXT", "SQL_UTILS", "COMPILE_CONTEXT")
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\s]+")


class Mistakes:
    """Every mistake found so far, in one file or in all of them."""

    def __init__(self) -> None:
        self.errors: list[ModelError] = []

    def add(
        self,
        source: Source,
        problem: str,
        *,
        key: str | None = None,
        hint: str | None = None,
        ossie: str | None = None,
    ) -> None:
        """Note a mistake at a line."""
        where = f"{source}: {key}: " if key else f"{source}: "
        message = f"{where}{problem}"
        self.errors.append(ModelError(message, hint=hint, ossie=ossie, file=source.file, line=source.line, key=key))


class Reader:
    """Typed access to one mapping of a model file; a wrong value is noted and replaced by a harmless one."""

    def __init__(self, entry: Entry, kind: str, file: str, mistakes: Mistakes) -> None:
        known = KEYS[kind]
        self.entry = entry if entry.keys() <= known else snake_keys(entry)
        self.kind = kind
        self.file = entry.file or file
        self.mistakes = mistakes
        if self.entry is not entry:
            for key in doubled(entry):
                self.mistakes.add(Source(self.file, entry.line_of(key)), f"'{snake(key)}' stands twice here.", key=key)
        for key in [each for each in self.entry if each not in known]:
            close = nearest(key, sorted(known))
            hint = f"Did you mean '{close[0]}'?" if close else None
            self.wrong(f"a {kind} has no such key.", key, hint=hint)

    def source(self, key: str | None = None) -> Source:
        """The place of a key, or of the whole mapping."""
        return Source(self.file, self.entry.line_of(key) if key else self.entry.line)

    def wrong(self, problem: str, key: str | None = None, *, hint: str | None = None, ossie: str | None = None) -> None:
        """Note a mistake at a key of this mapping."""
        self.mistakes.add(self.source(key), problem, key=key, hint=hint, ossie=ossie)

    def has(self, *keys: str) -> bool:
        """Whether any of the keys is given."""
        entry = self.entry
        for key in keys:  # noqa: SIM110 - a generator would cost more than the question
            if entry.get(key) is not None:
                return True
        return False

    def text(self, key: str, default: str | None = None) -> str | None:
        """A text (a number or a boolean counts as its text)."""
        value = self.entry.get(key)
        if value is None:
            return default
        if isinstance(value, dict | list):
            self.wrong("expected a text.", key)
            return default
        return str(value).lower() if isinstance(value, bool) else str(value)

    def name(self) -> str:
        """The required `name`, an identifier."""
        name = self.text("name")
        if name is None:
            self.wrong(f"a {self.kind} needs a name.")
        else:
            self._check_name(name)
        return name or "unnamed"

    def name_of(self, key: str) -> None:
        """Note a value of `key` that is not an identifier."""
        if (text := self.text(key)) is not None:
            self._check_name(text, key)

    def _check_name(self, name: str, key: str = "name") -> None:
        if not _NAME.fullmatch(name):
            odd = next((letter for letter in name if letter.isalpha() and not letter.isascii()), None)
            hint = f"It has '{odd}' ({unicodedata.name(odd, 'no Latin letter')})." if odd else None
            self.wrong(f"'{name[:_LONGEST_NAME]}' is not an identifier (letters, digits, _).", key, hint=hint)
        elif len(name) > _LONGEST_NAME:
            self.wrong(f"a name has at most {_LONGEST_NAME} letters.", key)
        elif name in _RESERVED:
            self.wrong(f"'{name}' means something else in SQL of the model; choose another name.", key)

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean."""
        value = self.entry.get(key, default)
        if not isinstance(value, bool):
            self.wrong("expected true or false.", key)
            return default
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of several words; camelCase is read as snake_case."""
        value = self.text(key, default)
        if value is None:
            self.wrong(f"a {self.kind} needs '{key}': {', '.join(allowed)}.")
            return allowed[0]
        word = snake(value)
        if word not in allowed:
            close = nearest(word, list(allowed))
            hint = f"Did you mean '{close[0]}'?" if close else f"One of {', '.join(allowed)}."
            self.wrong(f"'{value}' is not a {key} of a {self.kind}.", key, hint=hint)
            return allowed[0]
        return word

    def sql(self, key: str) -> Sql | None:
        """A SQL text, parsed."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return parse_sql(text, self.source(key), key=key)
        except ModelError as error:
            self.mistakes.errors.append(error)
            return None

    def child(self, key: str, kind: str) -> Reader | None:
        """A mapping beneath a key."""
        value = self.entry.get(key)
        if value is None:
            return None
        if not isinstance(value, Entry):
            self.wrong("expected keys and values.", key)
            return None
        return Reader(value, kind, self.file, self.mistakes)

    def children(self, key: str, kind: str) -> Iterator[Reader]:
        """Readers of the mappings of a list (or of a mapping by name)."""
        for entry in self.entries(key, kind):
            yield Reader(entry, kind, self.file, self.mistakes)

    def entries(self, key: str, kind: str) -> Iterator[Entry]:
        """The mappings of a list, not looked at yet."""
        value = self.entry.get(key)
        if value is None:
            return
        if isinstance(value, Entry):
            value = _as_list(value)
        if not isinstance(value, Items):
            self.wrong("expected a list.", key)
            return
        for item, line in numbered(value):
            if isinstance(item, Entry):
                yield item
            else:
                self.mistakes.add(Source(self.file, line), f"expected a {kind} with its keys.", key=key)

    def words(self, key: str) -> tuple[str, ...]:
        """A list of texts; one text alone is a list of one."""
        value = self.entry.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            value = [value]
        if any(isinstance(each, dict | list) for each in value):
            self.wrong("expected a list of texts.", key)
            return ()
        return tuple(str(each) for each in value)

    def shown(self, name: str, prefix: str | None = None) -> Shown:
        """Title, description and the like; `prefix` is the cube's title."""
        title = self.text("title") or titled(name)
        public = next((self.flag(key, True) for key in ("public", "shown", "visible") if self.has(key)), None)
        if public is None:
            public = not (self.kind == "dimension" and self.flag("primary_key"))
        return Shown(
            title=f"{prefix} {title}" if prefix else title,
            short_title=title,
            description=self.text("description"),
            public=public,
            meta=plain(self.entry.get("meta")),
            format=plain(self.entry.get("format")),
            currency=self.text("currency"),
        )

    def rest(self, *keys: str) -> dict[str, Any]:
        """Keys that are kept as they are."""
        given = self.entry
        return {key: plain(given[key]) for key in keys if given.get(key) is not None}


_SMALL_WORDS = "and or nor a an the so but to of at by from into on onto off out in over with for"
_SMALL = frozenset(_SMALL_WORDS.split())


def titled(name: str) -> str:
    """`orderId` → `Order ID`, `created_at` → `Created at`."""
    words = [word for word in _WORDS.split(name) if word]
    return " ".join(
        _capital(word) if index == 0 or word.lower() not in _SMALL else word.lower() for index, word in enumerate(words)
    )


def _capital(word: str) -> str:
    return "ID" if word.lower() == "id" else word[:1].upper() + word[1:]


def _as_list(entry: Entry) -> Items:
    items = Items()
    items.lines = []
    items.line = entry.line
    for name, value in entry.items():
        child = Entry(value if isinstance(value, dict) else {})
        child.setdefault("name", name)
        child.line, child.file = entry.line_of(name), entry.file
        child.lines = value.lines if isinstance(value, Entry) else {}
        items.append(child)
        items.lines.append(child.line)
    return items
