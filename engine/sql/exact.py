"""Literals as the column's own type holds them: what it cannot hold equals nothing, bounds are rounded to its digits.

ClickHouse would compare a Decimal with a float, lose a digit of 2^53 + 1, or refuse what is no UUID.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache, partial
from math import floor
from typing import Any
from uuid import UUID

from core.errors import InvalidQuery
from engine.model.catalog import ColumnType

Held = tuple[str, Callable[[Any], Any]]
"""The type of a parameter, and what makes its value of a literal (a text or a list of texts)."""
_INTEGERS = {f"{sign}Int{bits}": (bool(sign), bits) for sign in ("", "U") for bits in (8, 16, 32, 64, 128)}
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,9})?")
_HUGE, _TINY = 90, -400
"""Powers of ten beyond which a literal is larger than any column, or smaller than any digit."""
_WORDS = Context(prec=200)


@dataclass(frozen=True, slots=True)
class Exact:
    """A type of numbers that are whole numbers of 10^-scale, from `least` to `most`; `wide` holds a little more."""

    name: str
    wide: str
    scale: int
    least: int
    most: int

    def equal(self, literal: Any) -> list[Any]:
        """Which of the literal's values this type can hold."""
        found = [_units(str(each), self.scale) for each in _list(literal) if _NUMBER.fullmatch(str(each))]
        return [self._value(units) for units, whole in found if whole and self.least <= units <= self.most]

    def bound(self, up: bool, member: str, literal: Any) -> Any:
        """The nearest value that is not below (`up`) or not above the literal, or one beyond all."""
        if not _NUMBER.fullmatch(str(literal)):
            raise InvalidQuery(f"'{member}' is a number; it cannot be compared with that text.", member=member)
        units, whole = _units(str(literal), self.scale)
        units += up and not whole
        return self._value(min(max(units, self.least - 1), self.most + 1))

    def _value(self, units: int) -> int | Decimal:
        return Decimal(units).scaleb(-self.scale, _WORDS) if self.scale else units


def equals(kind: ColumnType | None, member_type: str, literal: str) -> Held | None:
    """A list of those values of a literal (`literal`: how it reads) that a column can hold; None where ClickHouse
    compares them as exactly."""
    if kind is None:
        return None
    if member_type == "string" and kind.name.startswith("Enum"):
        return "Array(String)", partial(_known, kind.values)
    if member_type == "string" and kind.name == "UUID":
        return "Array(UUID)", _uuids
    exact = _exact(kind) if _differs(kind, member_type, literal) else None
    return (f"Array({exact.name})", exact.equal) if exact is not None else None


def bounds(kind: ColumnType | None, member_type: str, literal: str, operator: str, member: str) -> Held | None:
    """The value with which a column is compared by `gt`, `gte`, `lt` or `lte` in place of a literal; else None."""
    if kind is None:
        return None
    if member_type == "string" and kind.name == "UUID":
        return "UUID", partial(_uuid_of, member)
    exact = _exact(kind) if _differs(kind, member_type, literal) else None
    return (exact.wide, partial(exact.bound, operator in ("gte", "lt"), member)) if exact is not None else None


def _differs(kind: ColumnType, member_type: str, literal: str) -> bool:
    """Whether ClickHouse's own comparison may be inexact or an error."""
    if member_type == "number":
        return literal == "float" or (kind.name == "Decimal" and literal in ("int", "uint", "huge"))
    return member_type == "string"


@lru_cache(256)
def _exact(kind: ColumnType) -> Exact | None:
    if kind.name == "Decimal" and kind.precision < 76:
        most = 10**kind.precision - 1
        name, wide = (f"Decimal({digits}, {kind.scale})" for digits in (kind.precision, kind.precision + 1))
        return Exact(name, wide, kind.scale, -most, most)
    if kind.name not in _INTEGERS:
        return None
    unsigned, bits = _INTEGERS[kind.name]
    least, most = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return Exact(kind.name, "Int256", 0, least, most)


def _list(literal: Any) -> list[Any]:
    return literal if isinstance(literal, list) else [literal]


def _known(values: frozenset[str], literal: Any) -> list[str]:
    return [each for each in map(str, _list(literal)) if each in values]


def _uuids(literal: Any) -> list[str]:
    return [each for each in map(_uuid, _list(literal)) if each is not None]


def _uuid_of(member: str, literal: Any) -> str:
    found = _uuid(literal)
    if found is None:
        raise InvalidQuery(f"'{member}' is a UUID; it cannot be compared with that text.", member=member)
    return found


def _uuid(literal: Any) -> str | None:
    try:
        return str(UUID(str(literal)))
    except ValueError:
        return None


def _units(literal: str, scale: int) -> tuple[int, bool]:
    """How many whole units of 10^-scale a number has, rounded down, and whether it has no more than that."""
    value = Decimal(literal)
    if value and value.adjusted() > _HUGE:
        return (-1 if value < 0 else 1) * 10**_HUGE, False
    if value and value.adjusted() < _TINY:
        return (-1 if value < 0 else 0), False
    units = Fraction(value) * 10**scale
    return floor(units), units.denominator == 1
