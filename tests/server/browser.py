"""The system's Chromium on a server's page."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import ConsoleMessage, Page, async_playwright, expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""Chromium's path; None if it is not installed."""
SLOWEST = 30_000
"""Milliseconds that a busy machine may take for anything."""
SWITCHES = ["--disable-quic", "--disable-sync"]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    """Yields the page, and fails at its end if anything went wrong in it: an exception, a warning, a request to another
    host."""
    wrong: list[str] = []
    async with async_playwright() as playwright:
        switches = [*SWITCHES, "--no-sandbox"] if os.geteuid() == 0 else SWITCHES
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=switches)
        try:
            page = await browser.new_page(locale="en")
            page.set_default_timeout(SLOWEST)
            expect.set_options(SLOWEST)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda asked: asked.url.startswith(url) or wrong.append(asked.url))
            page.on("console", lambda said: is_wrong(said) and wrong.append(said.text))
            await page.goto(url)
            yield page
        finally:
            await browser.close()
    assert wrong == []


def is_wrong(said: ConsoleMessage) -> bool:
    """Whether a message is a failure. The browser's own messages about an answer like 401 or a lost server are not."""
    return said.type in {"error", "warning"} and not said.text.startswith("Failed to load resource:")
