"""Bound values: every literal of a query becomes a `{p0:Type}` of ClickHouse, filled in after planning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from core.errors import InvalidQuery
from engine.query.lift import kind_of
from engine.query.request import Slot

TYPES = {"int": "Int64", "uint": "UInt64", "huge": "Int256", "float": "Float64", "bool": "Bool"}
_types: dict[str, exp.DataType] = {}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make the value of a parameter: from the literal of a slot, or from one that the model gives."""

    name: str
    slot: int | None
    constant: Any
    convert: Callable[[Any], Any]

    def fill(self, values: Sequence[Any]) -> Any:
        """The value to send."""
        return self.convert(self.constant if self.slot is None else values[self.slot])


@dataclass(slots=True)
class Parameters:
    """The parameters of one statement in order."""

    recipes: list[Recipe] = field(default_factory=list)

    def add(self, value: Slot | str, type_name: str, convert: Callable[[Any], Any]) -> exp.Placeholder:
        """A placeholder of that type; its value is `convert(literal)`."""
        name = f"p{len(self.recipes)}"
        slot, constant = (value.index, None) if isinstance(value, Slot) else (None, value)
        self.recipes.append(Recipe(name, slot, constant, convert))
        return placeholder(name, type_name)

    def text(self, value: Slot | str) -> exp.Placeholder:
        """A text, or a list of texts."""
        if reading(value).startswith("list:"):
            return self.add(value, "Array(String)", _texts)
        return self.add(value, "String", str)

    def number(self, value: Slot | str, member: str) -> exp.Placeholder:
        """A number of the type that holds its text exactly, or a list of such."""
        kind = reading(value)
        single = kind.removeprefix("list:")
        if single not in ("int", "uint", "huge", "float"):
            raise InvalidQuery(f"'{member}' is a number; it cannot be compared with that text.", member=member)
        one: Callable[[Any], Any] = float if single == "float" else int
        if kind == single:
            return self.add(value, TYPES[single], one)
        return self.add(value, f"Array({TYPES[single]})", lambda texts: list(map(one, texts)))

    def flag(self, value: Slot | str, member: str) -> exp.Placeholder:
        """True or false (`1` and `0` will do), or a list of such."""
        kind = reading(value)
        if kind.removeprefix("list:").partition(":")[0] not in ("bool", "int", "text", "huge"):
            raise InvalidQuery(f"'{member}' is true or false; it cannot be compared with that.", member=member)
        if kind.startswith("list:"):
            return self.add(value, "Array(Bool)", lambda texts: [_flag(text) for text in texts])
        return self.add(value, "Bool", _flag)

    def literal(self, value: Slot | str, member: str) -> exp.Placeholder:
        """By the look of the literal: a number where it reads as one, else a text."""
        single = reading(value).removeprefix("list:")
        return self.number(value, member) if single in ("int", "uint", "huge", "float") else self.text(value)


def placeholder(name: str, type_name: str) -> exp.Placeholder:
    """`{name: Type}`."""
    if type_name not in _types:
        _types[type_name] = exp.DataType.build(type_name, dialect="clickhouse")
    return exp.Placeholder(this=name, kind=_types[type_name])


def reading(value: Slot | str) -> str:
    """How a literal reads: its `kind_of`; `list:` and that of its values."""
    return value.kind if isinstance(value, Slot) else kind_of(value)


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values]


def _flag(text: str) -> bool:
    lowered = str(text).lower()
    if lowered not in ("true", "false", "1", "0"):
        raise InvalidQuery(f"'{text}' is neither true nor false.")
    return lowered in ("true", "1")
