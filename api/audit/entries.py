"""One line of the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import structlog

from api.principal import Principal
from core.clock import now
from core.ids import new_id

MOST_SUBJECTS = 10_000
"""More people than that are counted, not named."""
_LONGEST_TARGET = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what with whose data; `subjects` are the numbers of the people whose data it was."""

    action: str
    actor_role: str
    actor_id: int | None = None
    school_id: int | None = None
    subjects: tuple[int, ...] = ()
    target: str | None = None
    outcome: Literal["done", "refused"] = "done"
    details: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    occurred_at: datetime = field(default_factory=now)
    audit_id: UUID = field(default_factory=new_id)


def make_entry(
    principal: Principal | None,
    action: str,
    *,
    subjects: Iterable[int] = (),
    school_id: int | None = None,
    target: str | None = None,
    outcome: Literal["done", "refused"] = "done",
    **details: Any,
) -> Entry:
    """A line of this moment and this request; without a principal nobody has logged in.

    `school_id`: the school whose data it was, where it is not the caller's own.
    """
    named = tuple(sorted(set(subjects)))
    if len(named) > MOST_SUBJECTS:
        details["subjects"] = len(named)
        named = ()
    if principal is not None and principal.user_id is None:
        details["service"] = principal.subject
    return Entry(
        action=action,
        actor_role=principal.role if principal else "nobody",
        actor_id=principal.user_id if principal else None,
        school_id=school_id or (principal.school_id if principal else None),
        subjects=named,
        target=target[:_LONGEST_TARGET] if target else None,
        outcome=outcome,
        details={key: value for key, value in details.items() if value is not None},
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
    )
