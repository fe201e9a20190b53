"""The bodies and answers of invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.auth.addresses import Email
from api.auth.schemas import Language
from api.fields import Body, Id


class NewInvitation(Body):
    """A join code for many, or with `email` an invitation for that address alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"role": "student", "classroom_id": 7, "max_uses": 30, "days": 14},
                {"role": "teacher", "email": "mary@example.org"},
            ]
        }
    )
    role: Literal["student", "teacher", "admin"] = "student"
    classroom_id: Id | None = Field(None, description="The classroom into which the new account comes at once.")
    email: Email | None = Field(None, description="The only address that may use it; the code is mailed there.")
    max_uses: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Of a join code; 40 if left out.")
    days: Annotated[int, Field(ge=1, le=90)] = 14
    language: Language | None = Field(None, description="The language of the mail.")
    school_id: Id | None = Field(None, description="Only an operator names the school.")


class Invitation(BaseModel):
    """An invitation, without its code."""

    id: str
    school_id: int
    role: str
    classroom_id: int | None
    email: str | None
    created_by: int | None
    created_at: datetime
    expires_at: datetime
    max_uses: int
    uses: int
    revoked_at: datetime | None


class MadeInvitation(Invitation):
    """A new invitation."""

    code: str | None = Field(description="The join code, told this once; null where it is mailed.")
