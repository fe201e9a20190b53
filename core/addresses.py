"""E-mail addresses, each in one form: NFC, small letters, the domain as it stands in the DNS.

Two spellings of one address are one (`Ada@BÜCHER.example`, `ada@xn--bcher-kva.example`); two addresses that only look
alike (a Cyrillic `а`) stay two. Nothing is looked up.
"""

from __future__ import annotations

import unicodedata

from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 254
_MAX_LOCAL = 64


def canonical(text: str) -> str:
    """The one form of an address; raises `ValueError`."""
    try:
        parts = validate_email(text.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    local = unicodedata.normalize("NFC", parts.local_part.lower())
    domain = (parts.ascii_domain or "").lower()
    if "." not in domain:
        raise ValueError("The part after the @-sign must be a domain such as school.example.org.")
    if len(local) > _MAX_LOCAL or len(local) + len(domain) >= MAX_LENGTH:
        raise ValueError("The address is too long.")
    return f"{local}@{domain}"
