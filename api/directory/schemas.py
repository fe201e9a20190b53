"""The bodies and answers of the directory."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.auth.addresses import Email
from api.auth.policy import Password
from api.fields import Body, ExternalId, Id, Moment, Name, TimeZone

Role = Literal["student", "teacher", "admin", "analyst", "operator"]
ConsentBasis = Literal["school_contract", "parental_consent", "none"]
RetentionMonths = Annotated[int, Field(ge=1, le=1200)]
MemberRole = Literal["student", "teacher"]


class School(BaseModel):
    """A school."""

    id: int
    name: str
    time_zone: str
    external_id: str | None
    consent_basis: str = Field(
        "school_contract",
        description="Why the network may see pupils' data: the school's contract, each one's parents, or not at all.",
    )
    share_with_network: bool = Field(True, description="Whether the network's analysts see the school's data.")
    retention_months: int | None = Field(None, description="How long data is kept; null: no limit is set.")
    created_at: datetime


class NewSchool(Body):
    """A school to make."""

    name: Name
    time_zone: TimeZone = "UTC"
    external_id: ExternalId | None = None


class SchoolChange(Body):
    """What of a school changes; a field that is left out stays."""

    name: Name | None = None
    time_zone: TimeZone | None = None
    consent_basis: ConsentBasis | None = None
    share_with_network: bool | None = None
    retention_months: RetentionMonths | None = None


class Classroom(BaseModel):
    """A teaching group."""

    id: int
    school_id: int
    teacher_id: int | None
    name: str
    subject: str | None
    external_id: str | None
    created_at: datetime


class NewClassroom(Body):
    """A classroom to make; only an operator names the school."""

    name: Name
    subject: Name | None = None
    teacher_id: Id | None = None
    external_id: ExternalId | None = None
    school_id: Id | None = None


class ClassroomChange(Body):
    """What of a classroom changes; null takes the teacher or the subject away."""

    name: Name | None = None
    subject: Name | None = None
    teacher_id: Id | None = None


class NewUser(Body):
    """An account that an admin makes; without a password nobody can log in to it yet."""

    name: Name
    role: Role
    email: Email | None = None
    password: Password | None = None
    external_id: ExternalId | None = None
    school_id: Id | None = None
    consent: bool | None = None


class UserChange(Body):
    """What of an account changes: the name by its owner, all of it by an admin (not his own address and password);
    consent null: not said."""

    name: Name | None = None
    email: Email | None = None
    role: Role | None = None
    password: Password | None = None
    disabled: bool | None = Field(None, description="A disabled account keeps its data; nobody can log in to it.")
    consent: bool | None = None


class Enrolment(BaseModel):
    """A membership in a classroom, which holds from valid_from until valid_to."""

    id: int
    school_id: int
    classroom_id: int
    user_id: int
    role: str
    valid_from: datetime
    valid_to: datetime | None


class NewEnrolment(Body):
    """A membership to begin, now or at valid_from."""

    classroom_id: Id
    user_id: Id
    role: MemberRole = "student"
    valid_from: Moment | None = None


class EnrolmentEnd(Body):
    """When a membership ends; now, if it is left out."""

    valid_to: Moment | None = None


def changed(body: Body) -> dict[str, Any]:
    """For SQL: each field's value, and `has_<field>`: whether it was sent."""
    values: dict[str, Any] = {name: getattr(body, name) for name in type(body).model_fields}
    return values | {f"has_{name}": name in body.model_fields_set for name in values}
