"""Addresses, names and passwords as people (and attackers) write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.auth.addresses import Email, login_name
from api.auth.codes import ALPHABET, code_hash, new_code, new_username, one_time_password, read_code
from api.auth.policy import Password, check_password
from api.fields import Name
from core.errors import InvalidField

_HERE = Path(__file__).parent


def _cases(name: str) -> Any:
    return [
        pytest.param(case["in"], case["out"], id=ascii(case["in"]))
        for case in yaml.safe_load((_HERE / name).read_text())
    ]


def _read(kind: Any, text: str) -> str | None:
    try:
        return str(TypeAdapter(kind).validate_python(text))
    except ValidationError:
        return None


@pytest.mark.parametrize(("typed", "kept"), _cases("addresses.yml"))
def test_an_address_has_one_form(typed: str, kept: str | None) -> None:
    assert _read(Email, typed) == kept
    if kept is not None:
        assert _read(Email, kept) == kept
        assert login_name(typed) == kept


@pytest.mark.parametrize(("typed", "kept"), _cases("names.yml"))
def test_a_name_is_what_one_sees(typed: str, kept: str | None) -> None:
    assert _read(Name, typed) == kept


@given(st.text(max_size=80))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    for kind in (Email, Name):
        kept = _read(kind, text)
        assert kept is None or _read(kind, kept) == kept
    assert login_name(login_name(text)) == login_name(text) or "@" in text
    read_code(text)


@pytest.mark.parametrize(
    "password",
    ["password", "Passwort123", "QWERTZUIOP", "12345678", "pass word", "aaaaaaaaaa", "abababababab", "short",
     "ada example", "AdaExample", "ada.example@example.org", "ada.example", "ｐａｓｓｗｏｒｄ"],
)  # fmt: skip
def test_a_password_that_is_too_easy_is_refused(password: str) -> None:
    chosen = _read(Password, password)
    if chosen is None:
        assert password == "short"
        return
    with pytest.raises(InvalidField, match="password"):
        check_password(chosen, 8, name="Ada Example", email="ada.example@example.org")


@pytest.mark.parametrize(
    "password", ["correct horse battery", "zwölf Boxkämpfer", "ada example likes tea", "🦊🐻🐼🐨🐯🦁🐮🐷"]
)
def test_a_good_password_needs_no_digit_and_no_sign(password: str) -> None:
    check_password(password, 8, name="Ada Example", email="ada.example@example.org")


def test_the_least_length_is_a_setting() -> None:
    with pytest.raises(InvalidField, match="20 characters"):
        check_password("correct horse", 20)


def test_a_password_is_the_same_from_every_keyboard() -> None:
    assert _read(Password, "caf\u00e9 au lait") == _read(Password, "cafe\u0301 au lait")


def test_codes_have_no_signs_that_look_alike() -> None:
    assert not set("0O1I") & set(ALPHABET)
    assert len(set(ALPHABET)) == 32
    code = new_code(8)
    assert code_hash(b"k", code) == code_hash(b"k", f" {code[:4].lower()}-{code[4:]} ") != code_hash(b"x", code)
    assert len({one_time_password() for _ in range(100)}) == 100
    assert new_username("Zoë Ørsted").startswith("zoe-")
    assert new_username("李小龍").startswith("user-")
