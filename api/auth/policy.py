"""Which passwords are good enough: long enough, not among the 3,000 that everybody tries first, not the person's name.

`common_passwords.txt` comes from zxcvbn's list (MIT), eight characters or more, with some that German schools know.
No rules on digits and signs: they make passwords worse (NIST SP 800-63B 5.1.1, ASVS 5.0 6.2).
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from core.errors import InvalidField

_FEWEST_DIFFERENT = 3


def nfkc(text: str) -> str:
    """The same password from every keyboard: é is é, however it was composed."""
    return unicodedata.normalize("NFKC", text)


Password = Annotated[str, StringConstraints(min_length=8, max_length=200), AfterValidator(nfkc)]
TypedPassword = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(nfkc)]
"""A password to compare: of any length, for old ones may be short."""


def check_password(password: str, least: int, *, name: str | None = None, email: str | None = None) -> None:
    """Raises `InvalidField` (weak_password) for a new password that is too easy."""
    if len(password) < least:
        raise _weak(f"A password has at least {least} characters.")
    plain = _plain(password)
    if len(set(plain)) < _FEWEST_DIFFERENT:
        raise _weak("That password repeats one or two characters.")
    if plain in _common() or password.casefold() in _common():
        raise _weak("That password is one of those that everybody tries first.")
    if plain in _own(name, email):
        raise _weak("Your name or address is no password.")


def _weak(message: str) -> InvalidField:
    return InvalidField(message, code="weak_password", hint="Take three or four words.", field="password")


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


def _own(name: str | None, email: str | None) -> set[str]:
    given = [name or "", email or "", (email or "").partition("@")[0], *(name or "").split()]
    return {_plain(text) for text in given}


@cache
def _common() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("common_passwords.txt").read_text().split())
