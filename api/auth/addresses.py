"""E-mail addresses in requests, in their one form (`core/addresses.py`); and what somebody types to log in."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from core.addresses import MAX_LENGTH, canonical


def login_name(text: str) -> str:
    """What somebody typed to log in: an address in its one form, or a user name; never raises."""
    try:
        return canonical(text)
    except ValueError:
        return unicodedata.normalize("NFKC", text).strip().lower()


def domain_of(address: str) -> str:
    """The part after the @."""
    return address.rpartition("@")[2]


Email = Annotated[str, StringConstraints(min_length=3, max_length=MAX_LENGTH), AfterValidator(canonical)]
