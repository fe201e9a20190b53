"""What a list of accounts holds, and what became of each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from api.auth.addresses import Email
from api.auth.schemas import Language
from api.directory.schemas import MemberRole
from api.fields import Body, ExternalId, Id, Name, clean_name

MOST = 5_000
Status = Literal["created", "exists", "refused"]


class ListedUser(Body):
    """One account of a list; the same list again makes nothing twice (by `external_id`, else by `email`)."""

    name: Name
    role: MemberRole | Literal["admin"] = "student"
    email: Email | None = None
    external_id: Annotated[ExternalId, AfterValidator(clean_name)] | None = None
    classroom_id: Id | None = Field(None, description="The classroom into which it is enrolled.")
    language: Language | None = None


class Outcome(BaseModel):
    """What became of one account."""

    index: int = Field(description="Its place in the list, from 0.")
    status: Status
    user_id: int | None = None
    login: str | None = Field(None, description="The address or the user name to log in with.")
    one_time_password: str | None = Field(None, description="Told this once; to be changed at the first log-in.")
    mailed: bool = Field(False, description="Whether a mail to set the password is on its way.")
    enrolled: bool = Field(False, description="Whether it came into the classroom now.")
    code: str | None = None
    message: str | None = None


class Outcomes(BaseModel):
    """What became of a list."""

    created: int
    existing: int
    refused: int
    one_time_until: datetime = Field(description="Until when the one-time passwords are good.")
    items: list[Outcome]
