"""Who gave the right password and still has something to do first."""

from __future__ import annotations

from typing import Any

from api.auth.policy import check_password
from core.clock import now
from core.errors import Forbidden, InvalidField
from core.settings import Settings


def admitted(settings: Settings, user: dict[str, Any], password: str, new_password: str | None) -> str | None:
    """The password that takes the place of a one-time password, else None; raises `Forbidden` or `InvalidField`."""
    check_address(settings, user)
    if user["one_time_until"] is None:
        return None
    if user["one_time_until"] <= now():
        raise Forbidden("The one-time password is out of date; your school makes another.", code="password_expired")
    if new_password is None:
        raise Forbidden(
            "Choose a password: send new_password with the one-time password.", code="password_change_required"
        )
    if new_password == password:
        raise InvalidField("The new password is the one-time password.", code="weak_password", field="new_password")
    check_password(new_password, settings.password_min_length, name=user["name"], email=user["email"])
    return new_password


def check_address(settings: Settings, user: dict[str, Any]) -> None:
    """Raises `Forbidden` (address_unverified) where the settings ask for a proof that was not given."""
    needed = not settings.unverified_login and user["email_source"] == "person"
    if needed and user["email_verified_at"] is None:
        raise Forbidden("Confirm your address first: follow the link in our mail.", code="address_unverified")
