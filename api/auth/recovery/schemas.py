"""The bodies and answers of passwords and proofs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from api.auth.addresses import Email
from api.auth.policy import Password, TypedPassword
from api.auth.schemas import Language
from api.fields import Body

Token = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class PasswordChange(Body):
    """The password that holds, and the one that comes in its place."""

    current_password: TypedPassword
    new_password: Password


class ToAddress(Body):
    """Whom to write to."""

    email: Email
    language: Language | None = None


class PasswordReset(Body):
    """The token of the mail, and the new password."""

    token: Token
    password: Password


class Proof(Body):
    """The token of the mail."""

    token: Token


class OneTimePassword(BaseModel):
    """What to hand to somebody on paper."""

    user_id: int
    login: str = Field(description="The address or the user name to log in with.")
    one_time_password: str = Field(description="Told this once; it must be changed at the log-in.")
    good_until: datetime
