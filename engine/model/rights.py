"""Access policies as data: groups, conditions, members, row filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.model.terms import Source


@dataclass(frozen=True, slots=True)
class Attribute:
    """`{security_context.a.b}` in a policy."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyFilter:
    """One condition of a row filter; a value is a text, None or an attribute of the caller."""

    member: str
    operator: str
    values: tuple[str | Attribute | None, ...]


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """Conditions of a row filter joined by `and` or `or`."""

    operator: Literal["and", "or"]
    filters: tuple[PolicyFilter | PolicyGroup, ...]


@dataclass(frozen=True, slots=True)
class Members:
    """Which members a policy names; `includes` None means all."""

    includes: frozenset[str] | None
    excludes: frozenset[str]

    def __contains__(self, name: str) -> bool:
        return name not in self.excludes and (self.includes is None or name in self.includes)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose rows a cube holds: the value of `member` must be one of the caller's `school_ids`.

    `shared`: rows without a value belong to everybody.
    """

    member: str
    shared: bool
    source: Source


@dataclass(frozen=True, slots=True)
class Policy:
    """Who (`groups`, `*` is everyone) sees which members and which rows.

    `row_filters` None means every row of the caller's tenants; `allow_all`, every row there is.
    """

    groups: frozenset[str]
    conditions: tuple[str, ...]
    member_level: Members | None
    member_masking: Members | None
    row_filters: PolicyGroup | None
    source: Source
    allow_all: bool = False

    def shows(self, name: str) -> bool:
        """Whether the member is granted with its own value."""
        return self.member_level is None or name in self.member_level

    def masks(self, name: str) -> bool:
        """Whether the member is granted, but only masked."""
        return not self.shows(name) and self.member_masking is not None and name in self.member_masking
