"""Mails over a real mail server: TLS, log-in, a server that is away, one that refuses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from api.auth.mail import letters
from api.auth.mail.carrier import MailServer, carrier
from api.auth.mail.postman import Postman
from api.auth.mail.templates import LANGUAGES, compose
from core.postgres import Postgres
from core.settings import Settings

SECRET = b"k" * 32
USER, WORD = "mailer", "a password of the mail server"


class Mailbox:
    """What a mail server took in; it refuses what it is told to."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refusals: list[str] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, to: str, options: Any) -> str:  # noqa: N802
        """A refusal, if one is left."""
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """One mail."""
        mail = message_from_bytes(envelope.content, policy=default)
        self.mails.append((mail, envelope.rcpt_tos, _is_tls(server), session.authenticated))
        return "250 OK"


def _is_tls(server: Any) -> bool:
    return server.transport.get_extra_info("ssl_object") is not None


@contextmanager
def mail_server(security: str, certificate: Path | None, port: int = 0) -> Iterator[tuple[Mailbox, int]]:
    """A mail server on loopback; over TLS it wants a log-in."""
    box = Mailbox()
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": port or _free()}
    if security != "none":
        options |= {"authenticator": _authenticated, "auth_required": True}
    if security == "tls":
        options |= {"ssl_context": context, "auth_require_tls": False}
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    controller = Controller(box, **options)
    controller.start()
    try:
        yield box, controller.port
    finally:
        controller.stop()


def _authenticated(server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
    return AuthResult(success=(auth.login, auth.password) == (USER.encode(), WORD.encode()))


def _free() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "mail.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def _settings(port: int, security: str, **chosen: Any) -> Settings:
    given: dict[str, Any] = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": security,
        "mail_from": "School <s@example.org>",
    }
    return Settings(**given | chosen)


@pytest.fixture
async def account(record: Postgres) -> AsyncIterator[str]:
    """Somebody's address; no letter is left of others."""
    await record.fetch("delete from letters")
    school = await record.fetch_one("insert into schools (name) values ('S') returning id")
    assert school
    email = f"user-{school['id']}@example.org"
    await record.fetch(
        "insert into users (school_id, role, name, email) values (%s, 'student', 'A', %s)", [school["id"], email]
    )
    yield email


async def _wish(record: Postgres, email: str, kind: letters.Kind = "reset_password") -> None:
    async with record.transaction() as connection:
        await letters.write(connection, kind, email)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
async def test_a_mail_goes_over_a_secured_way(record: Postgres, account: str, certificate: Path, security: str) -> None:
    with mail_server(security, certificate if security != "none" else None) as (box, port):
        chosen = {} if security == "none" else {
            "smtp_user": USER, "smtp_password": SecretStr(WORD), "smtp_ca_file": certificate
        }  # fmt: skip
        settings = _settings(port, security, **chosen)
        await _wish(record, account)
        await Postman(settings, record, carrier(settings), SECRET).deliver()
    [(mail, recipients, encrypted, known)] = box.mails
    assert recipients == [account] == [mail["To"]]
    assert (mail["From"], mail["Auto-Submitted"]) == ("School <s@example.org>", "auto-generated")
    assert "/web/account.html#reset=" in mail.get_content()
    assert (encrypted, bool(known)) == ((True, True) if security != "none" else (False, False))
    assert await record.fetch("select 1 from letters") == []


@pytest.mark.parametrize("fault", ["unknown authority", "no TLS there", "wrong password"])
async def test_no_mail_and_no_password_goes_over_another_way(
    record: Postgres, account: str, certificate: Path, fault: str
) -> None:
    with mail_server("none" if fault == "no TLS there" else "starttls", certificate) as (box, port):
        settings = _settings(
            port,
            "starttls",
            smtp_user=USER,
            smtp_password=SecretStr("wrong" if fault == "wrong password" else WORD),
            smtp_ca_file=None if fault == "unknown authority" else certificate,
        )
        await _wish(record, account)
        await Postman(settings, record, carrier(settings), SECRET).deliver()
    assert box.mails == []
    assert await _tries(record) == [1]


async def _tries(record: Postgres) -> list[int]:
    return [row["tries"] for row in await record.fetch("select tries from letters where next_try_at > now()")]


async def _due_now(record: Postgres) -> None:
    await record.fetch("update letters set next_try_at = now()")


async def test_a_server_that_comes_back_gets_the_mail_and_every_copy_has_one_link(
    record: Postgres, account: str
) -> None:
    port = _free()
    settings = _settings(port, "none")
    postman = Postman(settings, record, carrier(settings), SECRET)
    await _wish(record, account)
    for tries in (1, 2, 3, 4, 5, 6, 7):
        await postman.deliver()
        assert await _tries(record) == [tries]
        await _due_now(record)
    with mail_server("none", None, port) as (box, _):
        box.refusals = ["451 later"]
        await postman.deliver()
        assert box.mails == []
        await _due_now(record)
        await postman.deliver()
        await _wish(record, account)
        await postman.deliver()
    assert len(box.mails) == 2
    assert await record.fetch("select 1 from letters") == []
    tokens = await record.fetch(
        "select count(*) as n from mail_tokens m join users u on u.id = m.user_id and u.email = %s", [account]
    )
    assert tokens == [{"n": 2}]


async def test_an_address_that_the_server_refuses_is_given_up(record: Postgres, account: str) -> None:
    with mail_server("none", None) as (box, port):
        box.refusals = ["550 no such mailbox"]
        settings = _settings(port, "none")
        await _wish(record, account)
        await Postman(settings, record, carrier(settings), SECRET).deliver()
    assert await record.fetch("select 1 from letters") == []
    assert box.mails == []


async def test_a_way_that_breaks_is_left_at_once(record: Postgres, account: str) -> None:
    await _wish(record, account, "verify_email")
    await _wish(record, account)
    with mail_server("none", None) as (box, port):
        box.refusals = ["421 closing"]
        settings = _settings(port, "none")
        postman = Postman(settings, record, carrier(settings), SECRET)
        await postman.deliver()
        await _due_now(record)
        await postman.deliver()
    assert len(box.mails) == 2
    assert await record.fetch("select 1 from letters") == []


async def test_two_postmen_send_each_letter_once(record: Postgres, account: str) -> None:
    for number in range(30):
        await record.fetch(
            """insert into users (school_id, role, name, email)
               select school_id, 'student', 'A', %s from users where email = %s""",
            [f"{number}-{account}", account],
        )
        await _wish(record, f"{number}-{account}")
    with mail_server("none", None) as (box, port):
        settings = _settings(port, "none")
        postmen = [Postman(settings, record, carrier(settings), SECRET) for _ in range(3)]
        while await record.fetch("select 1 from letters"):
            await asyncio.gather(*(postman.deliver() for postman in postmen))
    assert len(box.mails) == len({mail["To"] for mail, *_ in box.mails}) == 30


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["verify_email", "reset_password", "welcome", "invitation", "password_changed"])
def test_every_mail_is_there_in_every_language(kind: str, language: str) -> None:
    values = {"link": "http://x/#a=b", "duration": "2 days", "school": "Zoë's\r\nBcc: x", "code": "C"}
    mail = compose(kind, language, "S <s@example.org>", "ada@example.org", **values)
    assert mail["Subject"]
    assert mail["Bcc"] is None
    assert "$" not in mail.get_content()


async def test_without_tls_settings_a_way_is_starttls() -> None:
    assert isinstance(carrier(Settings(smtp_host="mail.example.org")), MailServer)
    assert Settings().smtp_security == "starttls"
