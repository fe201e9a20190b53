"""What a caller may see of the record; the one rule that every store's SQL gets as parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends

from api.deps import Caller, ServicesDep
from api.principal import Principal
from core.errors import InvalidField, NotFound


@dataclass(frozen=True)
class Scope:
    """An operator sees everything, an admin his school, a teacher his classes, a student himself."""

    principal: Principal
    classroom_ids: tuple[int, ...] = ()
    student_ids: tuple[int, ...] = ()

    @property
    def role(self) -> str:
        """The caller's role."""
        return self.principal.role

    @property
    def whole_school(self) -> bool:
        """Whether he sees all of his school (or of every school)."""
        return self.role in {"admin", "operator"}

    @property
    def parameters(self) -> dict[str, Any]:
        """For SQL: my_school (null: every school), my_user, whole, my_classrooms, my_students."""
        return {
            "my_school": self.principal.school_id,
            "my_user": self.principal.user_id,
            "my_role": self.role,
            "operator": self.principal.is_operator,
            "whole": self.whole_school,
            "my_classrooms": list(self.classroom_ids),
            "my_students": list(self.student_ids),
        }

    def school_for(self, wanted: int | None) -> int:
        """The school in which something is made: the caller's own; an operator must name one."""
        own = self.principal.school_id
        if own is None:
            if wanted is None:
                raise InvalidField("Name the school.", field="school_id")
            return wanted
        if wanted not in (None, own):
            raise NotFound("There is no such school.")
        return own

    def sees_student(self, student_id: int) -> bool:
        """Whether a student is his or himself; for an admin the record decides."""
        return self.whole_school or student_id in self.student_ids

    def sees_classroom(self, classroom_id: int) -> bool:
        """Whether a classroom is his; for an admin the record decides."""
        return self.whole_school or classroom_id in self.classroom_ids


async def scope(caller: Caller, services: ServicesDep) -> Scope:
    """The caller's scope, from the record (at most a second old)."""
    members = await services.identities.memberships(caller)
    return Scope(caller, members.classroom_ids, members.student_ids)


ScopeDep = Annotated[Scope, Depends(scope)]
