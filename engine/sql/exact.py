"""Literals as the column's own type holds them: what it cannot hold equals nothing, and bounds are rounded to its digits.

ClickHouse would compare a Decimal with a float, round 2^53 + 1, or refuse an id that is no UUID.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from math import floor
from typing import Any
from uuid import UUID

from core.errors import InvalidQuery
from engine.model.catalog import ColumnType

_INTEGERS = {f"{sign}Int{bits}": (sign, bits) for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)}
_HUGE, _TINY = 90, -400
"""Powers of ten that no column reaches; beyond them numbers are not worked out."""


@dataclass(frozen=True, slots=True)
class Exact:
    """A type whose values are whole numbers of 10^-scale, from `least` to `most`."""

    name: str
    scale: int
    least: int
    most: int

    @property
    def wide(self) -> str:
        """The name of a type that holds a little more."""
        return f"Decimal({self.name[8:].partition(',')[0]}, {self.scale})" if self.scale < 0 else self.name

    def equal(self, literal: str) -> str | None:
        """The literal as this type writes it; None if no value of the type is that."""
        units, whole = _units(literal, self.scale)
        return self._text(units) if whole and self.least <= units <= self.most else None

    def bound(self, up: bool, literal: str) -> str:
        """The next value of the type, or one beyond all."""
        units, whole = _units(literal, self.scale)
        units += up and not whole
        return self._text(min(max(units, self.least - 1), self.most + 1))

    def _text(self, units: int) -> str:
        return str(Decimal(units).scaleb(-self.scale)) if self.scale else str(units)
