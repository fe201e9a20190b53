"""The browser of this machine, started once a test process, and pages in it that remember what went wrong."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
_START_SECONDS = 60
PATIENCE_MS = 15_000


def executable() -> str | None:
    """Where the browser is, if there is one (deploy/install-chromium.sh installs it)."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def running_chromium(program: str, profile: Path) -> Iterator[str]:
    """The address of a browser's door for tools; it reaches this machine alone."""
    with subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={profile}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"http://127.0.0.1:{_port(process, profile / 'DevToolsActivePort')}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _port(process: subprocess.Popen[bytes], told: Path) -> int:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if told.is_file() and (lines := told.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise RuntimeError(f"Chromium did not start (exit code {process.poll()}).")


@asynccontextmanager
async def browsing(door: str) -> AsyncIterator[Browser]:
    """A connection to the running browser."""
    async with async_playwright() as tool:
        browser = await tool.chromium.connect_over_cdp(door)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def somebody(
    browser: Browser, language: str = "en", width: int = 1280, height: int = 800, *, dark: bool = False
) -> AsyncIterator[Page]:
    """A person's page, with cookies of its own; what scripts threw or the browser refused fails the test."""
    context = await browser.new_context(
        locale=language,
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(PATIENCE_MS)
    page, wrong = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.extend(_grave(message)))
    try:
        yield page
        assert wrong == []
    finally:
        await context.close()


def _grave(message: ConsoleMessage) -> list[str]:
    """A complaint of the browser; an answer of 4xx and a lost connection are no faults of the page."""
    expected = ("Failed to load resource", "WebSocket connection to")
    return [] if message.type != "error" or message.text.startswith(expected) else [message.text]


async def complaints(page: Page, axe: str) -> list[Any]:
    """What axe-core finds wrong with the page as it stands, in the words of WCAG 2.2 AA."""
    await page.evaluate(axe)
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = await page.evaluate("rules => axe.run(document, { runOnly: rules })", rules)
    return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found["violations"]]
