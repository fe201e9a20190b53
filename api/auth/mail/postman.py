"""Sends the letters that wait, in the background: soon, again after a failure, until there is no use in it any more.

Any server may take a letter; one that dies leaves it to another. A mail may so come twice, with the same link.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from api.auth import store
from api.auth.codes import code_hash, letter_code, letter_token
from api.auth.invitations import store as invitations
from api.auth.mail import letters, tokens
from api.auth.mail.carrier import Carrier, NotCarried, Sender
from api.auth.mail.letters import Letter
from api.auth.mail.templates import compose
from core.clock import now
from core.errors import Unavailable
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log, mails

_BATCH = 20
_LOOK_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 3600.0
RESET_LIFETIME = timedelta(minutes=30)
VERIFY_LIFETIME = timedelta(days=2)
WELCOME_LIFETIME = timedelta(days=7)


class Postman:
    """Writes and sends mails."""

    def __init__(self, settings: Settings, postgres: Postgres, carrier: Carrier, secret: bytes) -> None:
        self._settings = settings
        self._postgres = postgres
        self._carrier = carrier
        self._secret = secret
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A letter was written: look at once."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped: send what is due, then wait until there may be more."""
        while not stop.is_set():
            self._woken.clear()
            if not await self._round():
                await self._pause(stop)

    async def _pause(self, stop: asyncio.Event) -> None:
        waits = {asyncio.ensure_future(event.wait()) for event in (stop, self._woken)}
        await asyncio.wait(waits, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _round(self) -> int:
        try:
            return await self.deliver()
        except Unavailable:
            return 0
        except Exception:
            log.exception("mail_failed")
            return 0

    async def deliver(self) -> int:
        """Send what is due; how many letters were looked at."""
        due = await letters.claim(self._postgres, _BATCH)
        if not due:
            return 0
        waiting = list(due)
        try:
            async with self._carrier.open() as way:
                while waiting:
                    await self._deliver(way, waiting[0])
                    del waiting[0]
        except NotCarried as error:
            for letter in waiting:
                await self._failed(letter, error)
        return len(due)

    async def _deliver(self, way: Sender, letter: Letter) -> None:
        try:
            message = await self._written(letter)
            if message is not None:
                await way.send(message)
                mails.labels(letter.kind, "sent").inc()
            await letters.remove(self._postgres, letter)
        except NotCarried as error:
            if error.broken:
                raise
            await self._failed(letter, error)
        except Unavailable:
            raise
        except Exception as error:  # one letter that cannot be written holds up no other
            await self._failed(letter, NotCarried(type(error).__name__))

    async def _failed(self, letter: Letter, error: NotCarried) -> None:
        pause = min(_FIRST_PAUSE * 2 ** (letter.tries - 1), _LONGEST_PAUSE)
        lost = error.final or now() + timedelta(seconds=pause) >= letter.expires_at
        mails.labels(letter.kind, "lost" if lost else "postponed").inc()
        log.warning("mail_lost" if lost else "mail_postponed", kind=letter.kind, tries=letter.tries, reason=str(error))
        if lost:
            await letters.remove(self._postgres, letter)
        else:
            await letters.postpone(self._postgres, letter, pause)

    async def _written(self, letter: Letter) -> EmailMessage | None:
        """The mail of a letter, with a new token; None when there is nobody to write to any more."""
        if letter.expires_at <= now():
            return None
        async with self._postgres.transaction() as connection:
            if letter.kind == "invitation":
                return await self._invitation(connection, letter)
            return await self._to_account(connection, letter)

    async def _invitation(self, connection: Connection, letter: Letter) -> EmailMessage | None:
        code = letter_code(self._secret, letter.id)
        assert letter.invitation_id is not None  # noqa: S101 - what an invitation's letter is written with
        found = await invitations.keep_code(connection, letter.invitation_id, code_hash(self._secret, code))
        if found is None:
            return None
        lifetime = found["expires_at"] - now()
        return self._compose(letter, None, lifetime, school=found["school"], code=code, link=self._link("code", code))

    async def _to_account(self, connection: Connection, letter: Letter) -> EmailMessage | None:
        user = await store.user_by_email(connection, letter.email)
        if user is None or user["disabled_at"] is not None:
            return None
        if letter.kind == "password_changed":
            return self._compose(letter, user["language"], timedelta())
        if letter.kind == "verify_email":
            if user["email_verified_at"] is not None:
                return None
            return await self._with_link(connection, letter, user, "verify_email", VERIFY_LIFETIME)
        lifetime = WELCOME_LIFETIME if letter.kind == "welcome" else RESET_LIFETIME
        return await self._with_link(connection, letter, user, "reset_password", lifetime)

    async def _with_link(
        self, connection: Connection, letter: Letter, user: dict[str, Any], purpose: tokens.Purpose, lifetime: timedelta
    ) -> EmailMessage | None:
        token = letter_token(self._secret, letter.id)
        if not await tokens.keep(connection, user, token, purpose, lifetime):
            log.info("mail_held_back", kind=letter.kind, user_id=user["id"])
            return None
        return self._compose(letter, user["language"], lifetime, link=self._link(purpose.partition("_")[0], token))

    def _link(self, action: str, secret: str) -> str:
        """After `#` it is sent to no server and stands in no log."""
        return f"{self._settings.public_url.rstrip('/')}/web/account.html#{action}={secret}"

    def _compose(self, letter: Letter, language: str | None, lifetime: timedelta, **values: str) -> EmailMessage:
        chosen = letter.language or language or self._settings.mail_language
        values["duration"] = _duration(lifetime, chosen)
        return compose(letter.kind, chosen, self._settings.mail_from, letter.email, **values)


def _duration(lifetime: timedelta, language: str) -> str:
    hours = round(lifetime.total_seconds() / 3600)
    words = ("Minuten", "Stunden", "Tage") if language == "de" else ("minutes", "hours", "days")
    if hours < 2:
        return f"{round(lifetime.total_seconds() / 60)} {words[0]}"
    return f"{hours} {words[1]}" if hours < 48 else f"{round(hours / 24)} {words[2]}"
