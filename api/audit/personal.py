"""Which members of a question say something about one person, and whose numbers an answer holds.

A dimension is a person's number (`subject`) or tells of one person (`person`): his name, or a row that is his alone.
`meta: {personal: subject | person | false}` in the model decides; without it the names by which our cubes call people.
A number that counts many people is about nobody; a question that names a person in a filter is about him.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from engine.model.catalog import Catalog, Dimension
from engine.model.kept import Kept
from engine.query.request import Filter, Query, leaves
from engine.run.engine import Answer

Kind: TypeAlias = Literal["subject", "person"]
_PEOPLE = frozenset({"students", "teachers", "users"})
_NUMBERS = frozenset({"student_id", "user_id", "teacher_id", "actor_id", "created_by"})
_ALONE = frozenset({"student_id", "user_id"})
_kinds: Kept[str, Kind | None] = Kept(100_000)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer showed of people: by which members, in how many rows, of whom (as far as it holds numbers)."""

    members: tuple[str, ...]
    rows: int
    subjects: frozenset[int]


def personal_kind(catalog: Catalog, name: str) -> Kind | None:
    """How a member (`cube.name`, of a view too) bears on a person."""
    return _kinds.get(catalog, name, lambda: _kind(catalog, name))


def _kind(catalog: Catalog, name: str) -> Kind | None:
    found = catalog.primitive(name)
    if not isinstance(found, Dimension):
        return None
    told = found.shown.meta.get("personal") if isinstance(found.shown.meta, Mapping) else None
    if told is not None:
        return told if told in ("subject", "person") else None
    if found.cube in _PEOPLE:
        return "subject" if found.primary_key else "person" if found.type == "string" else None
    if found.name in _NUMBERS:
        return "subject"
    return "person" if found.primary_key and _is_of_one_person(catalog, found.cube) else None


def _is_of_one_person(catalog: Catalog, cube: str) -> bool:
    """Whether each row of the cube belongs to one person."""
    return bool(_ALONE & set(catalog.cubes[cube].dimensions))


def seen_in(catalog: Catalog, answer: Answer) -> Seen | None:
    """What the answer to a question showed of people; None if nothing."""
    found = [
        seen_in_table(catalog, result.query, zip(_members(result.members), result.table.columns, strict=True))
        for result in answer.results
    ]
    shown = [each for each in found if each is not None]
    if not shown:
        return None
    members = tuple(dict.fromkeys(name for each in shown for name in each.members))
    subjects = frozenset(number for each in shown for number in each.subjects)
    return Seen(members, sum(each.rows for each in shown), subjects)


def _members(columns: Iterable[Any]) -> list[str]:
    """The members of columns, without a granularity."""
    return [".".join(column.member.split(".")[:2]) for column in columns]


def seen_in_table(catalog: Catalog, query: Query, columns: Iterable[tuple[str, Sequence[Any]]]) -> Seen | None:
    """What one table of columns showed of people, and whom its question named."""
    members: dict[str, None] = {}
    subjects: set[int] = set()
    rows = 0
    for name, values in columns:
        rows = max(rows, len(values))
        kind = personal_kind(catalog, name)
        if kind is None and query.ungrouped and _is_row_of_a_person(catalog, name):
            kind = "person"
        if kind is not None:
            members[name] = None
        if kind == "subject":
            subjects |= numbers(values)
    for each in leaves(query.filters):
        kind = personal_kind(catalog, each.member)
        if kind is not None:
            members[each.member] = None
            subjects |= _named(each) if kind == "subject" else set()
    return Seen(tuple(members), rows, frozenset(subjects)) if members else None


def _is_row_of_a_person(catalog: Catalog, name: str) -> bool:
    found = catalog.primitive(name)
    return isinstance(found, Dimension) and _is_of_one_person(catalog, found.cube)


def _named(condition: Filter) -> set[int]:
    return numbers(condition.values) if condition.operator == "equals" else set()


def numbers(values: Iterable[Any]) -> set[int]:
    """The whole numbers among values; a pseudonym is none."""
    return {int(value) for value in set(values) if value is not None and str(value).isdecimal()}
