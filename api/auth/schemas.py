"""The bodies of registration, log-in and their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.auth.addresses import Email
from api.auth.policy import Password, TypedPassword
from api.auth.scopes import TokenScope
from api.fields import Body, Id, Name, TimeZone

Language = Literal["en", "de"]


class Registration(Body):
    """A new account: with the code of an invitation, which says where and as what.

    Where registration is open also without: in a school that exists (student, teacher), or as the first admin of a
    new school."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Ada Example",
                    "email": "ada@example.org",
                    "password": "correct horse battery",
                    "code": "K7QM-XD3H",
                },
                {
                    "name": "Head Teacher",
                    "email": "head@example.org",
                    "password": "correct horse battery",
                    "role": "admin",
                    "school_name": "Hilltop School",
                    "time_zone": "Europe/Berlin",
                },
            ]
        }
    )
    name: Name
    email: Email
    password: Password
    code: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    language: Language | None = None
    role: Literal["student", "teacher", "admin"] = "student"
    school_id: Id | None = None
    school_name: Name | None = None
    time_zone: TimeZone = "UTC"


class Login(Body):
    """An address (or a user name) and a password; a one-time password also needs the one that comes in its place."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.org", "password": "correct horse battery"}]}
    )
    email: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=254)]
    password: TypedPassword
    new_password: Password | None = None


class Refresh(Body):
    """The refresh token that the last log-in or refresh gave."""

    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class User(BaseModel):
    """An account without its secrets."""

    id: int
    school_id: int | None
    role: str
    name: str
    email: str | None
    username: str | None = Field(None, description="What somebody without an address logs in with.")
    external_id: str | None = None
    consent: bool | None = None
    created_at: datetime


class TokenPair(BaseModel):
    """An access token for the `Authorization` header, and a refresh token for one use."""

    access_token: str
    refresh_token: str | None = Field(description="null where it was put into the cookie `__Host-refresh`.")
    token_type: str = "Bearer"  # noqa: S105 - the name of the scheme
    expires_in: int = Field(description="Seconds that the access token is good.")
    refresh_expires_in: int = Field(description="Seconds that the refresh token is good.")


class LoggedIn(TokenPair):
    """The tokens and whose they are."""

    user: User


class Session(BaseModel):
    """A log-in."""

    id: UUID
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime = Field(description="It ends then, unless it is refreshed.")
    client: str | None = Field(description="What the browser or program calls itself.")
    method: str = Field(examples=["password"])
    current: bool = Field(description="Whether it is the one that asks.")


class Ended(BaseModel):
    """How many log-ins were ended."""

    ended: int


class NewServiceToken(Body):
    """A token for a script or an app: what it may do, and for how long."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "nightly figures", "scopes": ["query"]}]})
    name: Name
    scopes: Annotated[list[TokenScope], Field(min_length=1, max_length=len(TokenScope))]
    days: Annotated[int, Field(ge=1, le=365)] = 90


class ServiceToken(BaseModel):
    """A service token without its secret."""

    id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime


class IssuedServiceToken(ServiceToken):
    """A new service token; `token` is shown this once."""

    token: str
