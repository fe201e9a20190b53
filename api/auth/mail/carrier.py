"""Where mails go: to the mail server of the settings, or without one into `outbox` of the data folder."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPException, SMTPRecipientsRefused, SMTPResponseException

from core.clock import now
from core.errors import StartupError
from core.settings import Settings

_SECONDS = 10
_REFUSED = 500


class NotCarried(Exception):
    """The mail could not be handed over; `final`: nor will it be later; `broken`: nor any other on this way."""

    def __init__(self, reason: str, *, final: bool = False, broken: bool = False) -> None:
        self.final = final
        self.broken = broken
        super().__init__(reason)


class Sender(Protocol):
    """An open way for mails."""

    async def send(self, message: EmailMessage) -> None:
        """Hand one over; raises `NotCarried`."""


class Carrier(Protocol):
    """Opens a way for some mails."""

    def open(self) -> AbstractAsyncContextManager[Sender]:
        """The way, closed at the end; raises `NotCarried`."""


class Outbox:
    """Mails as files that only we may read, for an installation without a mail server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Sender]:
        """The folder, made if it is missing."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NotCarried(f"the outbox cannot be used: {error.strerror}") from error
        yield self

    async def send(self, message: EmailMessage) -> None:
        """One file a mail, ordered by time."""
        path = self._folder / f"{now():%Y%m%dT%H%M%S.%f}.eml"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())


class MailServer:
    """A mail server, over one connection for each batch of mails."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls = _tls(settings)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Sender]:
        """A connection, secured and logged in as the settings say."""
        chosen = self._settings
        client = SMTP(
            hostname=chosen.smtp_host,
            port=chosen.smtp_port,
            use_tls=chosen.smtp_security == "tls",
            start_tls=chosen.smtp_security == "starttls",
            username=chosen.smtp_user,
            password=chosen.smtp_password.get_secret_value() if chosen.smtp_password else None,
            tls_context=self._tls,
            timeout=_SECONDS,
        )
        try:
            await client.connect()
        except (SMTPException, OSError) as error:
            raise NotCarried(f"{type(error).__name__} at connecting") from error
        try:
            yield _Connection(client)
        finally:
            client.close()


class _Connection:
    def __init__(self, client: SMTP) -> None:
        self._client = client

    async def send(self, message: EmailMessage) -> None:
        """One mail; what the server says of an address is told by its code alone."""
        try:
            await self._client.send_message(message)
        except SMTPRecipientsRefused as error:
            raise _refused(error.recipients[0]) from error
        except SMTPResponseException as error:
            raise _refused(error) from error
        except (SMTPException, OSError) as error:
            raise NotCarried(type(error).__name__, broken=True) from error


def _refused(error: SMTPResponseException) -> NotCarried:
    return NotCarried(f"{type(error).__name__} {error.code}", final=error.code >= _REFUSED)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.smtp_security == "none":
        return None
    try:
        return ssl.create_default_context(cafile=str(settings.smtp_ca_file) if settings.smtp_ca_file else None)
    except OSError as error:
        raise StartupError(f"EDU_SMTP_CA_FILE cannot be read: {error}") from error


def carrier(settings: Settings) -> Carrier:
    """The way of the settings."""
    if settings.smtp_host is None:
        return Outbox(settings.data_dir.expanduser() / "outbox")
    return MailServer(settings)
