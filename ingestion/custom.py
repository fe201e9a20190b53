"""Types of events that a school has made up: a dotted name, a version, and a JSON Schema for the metadata.

A school's schemas judge what apps send, so none of them may cost more than it is worth: they are small and flat, have
no regular expression that takes exponential time (Rust's `regex` has none), and name no document but themselves.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import jsonschema_rs
import msgspec

from core.errors import InvalidField
from core.postgres import Postgres
from ingestion.events import EventType, Kinds, Rejection, check_value

MOST_TYPES = 500
"""So many types (each version is one) may a school have."""
MOST_SCHEMA_BYTES = 16_384
MOST_SCHEMA_DEPTH = 16
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_SECONDS = 2.0
_MOST_SCHOOLS = 1_000
_LOAD = "select name, version, schema, by_students, deprecated_at from event_types where school_id = %s"
_REASONS = {"required": "missing_field", "additionalProperties": "unknown_field"}


class CustomTypes:
    """The types of schools, read again when they are two seconds old; a version once read is compiled once."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._known: dict[int, tuple[float, Kinds]] = {}
        self._compiled: dict[tuple[int, str, int], Callable[[dict[str, Any]], None]] = {}

    async def of(self, school_id: int) -> Kinds:
        """A school's types."""
        moment, found = time.monotonic(), self._known.get(school_id)
        if found and moment - found[0] < _SECONDS:
            return found[1]
        rows = await self._postgres.fetch(_LOAD, [school_id])
        if len(self._known) >= _MOST_SCHOOLS:
            self._known.clear()
            self._compiled.clear()
        kinds = {(row["name"], row["version"]): self._kind(school_id, row) for row in rows}
        self._known[school_id] = moment, kinds
        return kinds

    def forget(self, school_id: int) -> None:
        """After a change in this process: see it at once."""
        self._known.pop(school_id, None)

    def _kind(self, school_id: int, row: Mapping[str, Any]) -> EventType:
        place = school_id, row["name"], row["version"]
        check = self._compiled.get(place)
        if check is None:
            check = self._compiled[place] = compile_schema(row["schema"])
        return EventType(
            row["name"], by_students=row["by_students"], version=row["version"], check=check, until=row["deprecated_at"]
        )


def check_name(name: str) -> None:
    """Raises `InvalidField` for what is no dotted name; ours have no dot, so they never meet."""
    if not _NAME.fullmatch(name) or len(name) > 100:
        message = "A type of your own has a dotted name of small letters, digits and _: lab.experiment_started."
        raise InvalidField(message, field="name")


def check_schema(schema: Any) -> None:
    """Raises `InvalidField` for a schema that is too large or too deep, refers to another document, or is none."""
    if not isinstance(schema, dict):
        raise InvalidField("A JSON Schema is an object.", field="schema")
    if len(msgspec.json.encode(schema)) > MOST_SCHEMA_BYTES:
        raise InvalidField(f"A schema has at most {MOST_SCHEMA_BYTES} bytes.", field="schema", code="too_large")
    _check_parts(schema, 0)
    if schema.get("type") != "object":
        raise InvalidField('Metadata are an object: say "type": "object".', field="schema.type")
    try:
        compile_schema(schema)
    except ValueError as error:  # jsonschema-rs raises ValueErrors of its own kinds
        raise InvalidField(f"This is no JSON Schema: {_first_line(error)}", field="schema") from None


def _check_parts(part: Any, depth: int) -> None:
    if depth > MOST_SCHEMA_DEPTH:
        message = f"A schema nests at most {MOST_SCHEMA_DEPTH} deep."
        raise InvalidField(message, field="schema", code="too_deep")
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef", "$id", "$schema", "$anchor", "$dynamicAnchor"):
                _check_reference(key, value)
            _check_parts(value, depth + 1)
    elif isinstance(part, list):
        for value in part:
            _check_parts(value, depth + 1)


def _check_reference(key: str, value: Any) -> None:
    if key == "$schema" and value == "https://json-schema.org/draft/2020-12/schema":
        return
    raise InvalidField(f"{key} is not possible: a schema stands for itself, in draft 2020-12.", field=f"schema.{key}")


def compile_schema(schema: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
    """The check of metadata: raises `Rejection` with the first field at fault."""
    validator = jsonschema_rs.Draft202012Validator(
        dict(schema), retriever=_fetch_nothing, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )

    def check(metadata: dict[str, Any]) -> None:
        error = next(iter(validator.iter_errors(metadata)), None)
        if error is not None:
            raise _rejection(error)

    return check


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")


def _rejection(error: jsonschema_rs.ValidationError) -> Rejection:
    path = ".".join(["metadata", *map(str, error.instance_path)])
    keyword = str(error.schema_path[-1]) if error.schema_path else ""
    return Rejection(_REASONS.get(keyword, "invalid_field"), f"{_first_line(error)}.", path)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300].rstrip(".")


def check_example(schema: Mapping[str, Any], metadata: Any) -> None:
    """Raises `Rejection` unless such metadata would be taken."""
    check_value(metadata)
    compile_schema(schema)(metadata)
