"""The texts of our mails: `templates/<language>/<kind>.txt`, the subject in the first line."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid, parseaddr
from functools import cache
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).with_name("templates")
LANGUAGES = ("en", "de")


@cache
def _text(language: str, kind: str) -> tuple[Template, Template]:
    subject, _, body = (_FOLDER / language / f"{kind}.txt").read_text(encoding="utf-8").partition("\n")
    return Template(subject), Template(body.lstrip("\n"))


def compose(kind: str, language: str, sender: str, to: str, **values: str) -> EmailMessage:
    """A mail in plain text; every name in the template must be among `values`."""
    subject, body = _text(language if language in LANGUAGES else LANGUAGES[0], kind)
    name, address = parseaddr(sender)
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject.substitute(values)
    message["From"] = Address(display_name=name, addr_spec=address)
    local, _, domain = to.rpartition("@")
    message["To"] = Address(username=local, domain=domain)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=address.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body.substitute(values))
    return message
