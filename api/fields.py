"""The kinds of fields that many bodies and addresses share."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated
from zoneinfo import available_timezones

from fastapi import Depends, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_ID = 2**63 - 1


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return value


_JOINERS = "\u200c\u200d"
"""Invisible, and needed to write Persian, Indic scripts and some signs."""
_MOST_MARKS = 4


def clean_name(value: str) -> str:
    """A name in NFC; raises `ValueError` for what cannot be seen, turns the line around or climbs out of it."""
    text = unicodedata.normalize("NFC", value)
    kinds = [unicodedata.category(sign) for sign in text]
    if any(
        kind[0] == "C" or kind in ("Zl", "Zp") for kind, sign in zip(kinds, text, strict=True) if sign not in _JOINERS
    ):
        raise ValueError("must not hold control characters, invisible signs or changes of direction")
    if any(marks and len(list(run)) > _MOST_MARKS for marks, run in groupby(kinds, lambda kind: kind[0] == "M")):
        raise ValueError(f"must not hold more than {_MOST_MARKS} accents on one letter")
    if not any(kind[0] in "LNPS" for kind in kinds):
        raise ValueError("must hold something that can be seen")
    return text


Id = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=MAX_ID, examples=[42])]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(clean_name)
]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
ExternalId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Moment = AwareDatetime


class Body(BaseModel):
    """A request body: a field that we do not know is refused."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Paging:
    """Which page of a list."""

    page: int
    page_size: int

    @property
    def limit(self) -> dict[str, int]:
        """The parameters of `limit %(limit)s offset %(offset)s`."""
        return {"limit": self.page_size, "offset": (self.page - 1) * self.page_size}


def paging(
    page: Annotated[int, Query(ge=1, le=1_000_000, description="The page, from 1.")] = 1,
    page_size: Annotated[int, Query(ge=1, le=500, description="How many items a page has.")] = 50,
) -> Paging:
    """Reads `?page=&page_size=`."""
    return Paging(page, page_size)


PagingDep = Annotated[Paging, Depends(paging)]
