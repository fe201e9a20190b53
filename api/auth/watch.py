"""Keeps a server up with the record: signing keys and revocations, every two seconds and when the bell rings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Any, Self

from api.auth.keys import Keys
from api.auth.notices import Bell
from api.auth.revocations import Revocations
from core.telemetry import log

POLL_S = 2.0
_PAUSE_S = 0.05
_PATIENCE_S = 5.0
_TIDY_S = 3600.0


class Watch:
    """`async with`: everything is known before the first request."""

    def __init__(self, keys: Keys, revocations: Revocations, bell: Bell) -> None:
        self._keys = keys
        self._revocations = revocations
        self._bell = bell
        self._rung = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._tidied = time.monotonic()
        self._well = True

    async def __aenter__(self) -> Self:
        """Load, then go on looking in the background."""
        await self._keys.ensure()
        await self._revocations.look()
        works = (self._follow(), self._bell.listen(self._rung.set))
        self._tasks = [asyncio.create_task(work) for work in works]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._bell.close()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), POLL_S)
            self._rung.clear()
            await self._look()
            await asyncio.sleep(_PAUSE_S)

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._revocations.look()
                await self._keys.load()
                await self._tidy()
            self._well = True
        except Exception as error:  # a look that fails must not be the last
            if self._well:
                log.warning("record_not_followed", reason=getattr(error, "code", type(error).__name__))
            self._well = False

    async def _tidy(self) -> None:
        if time.monotonic() - self._tidied > _TIDY_S:
            self._tidied = time.monotonic()
            await self._revocations.tidy()
