"""What the page does where something breaks off in the middle of a conversation."""

import asyncio
from collections.abc import Callable

from fastapi import FastAPI
from playwright.async_api import Page, expect

from server.text import Text
from tests.server.browser import ask, in_browser, opened
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.serving import running, url_of

FINAL = "<|channel|>final<|message|>"


@in_browser
async def test_a_connection_that_is_lost_in_the_middle(
    app: FastAPI, engine: ScriptedEngine, say: Callable[..., Script], text: Text
) -> None:
    """What came of the answer stays, and it can be asked for again."""
    engine.play = lambda request: say(FINAL + "Hello!")
    engine.gate = asyncio.Semaphore(len(text.tokenizer.encode_marked(FINAL + "Hel"))).acquire
    async with running(app) as server, opened(url_of(server)) as page:
        await ask(page, "hi")
        await expect(page.locator(".answer")).to_have_text("Hel")
        for connection in [*server.server_state.connections]:
            connection.transport.abort()
        await expect(page.locator(".note.error")).to_have_text("The connection was lost.")
        await expect(page.locator(".answer")).to_have_text("Hel")
        engine.gate = None
        await page.get_by_text("Ask again").click()
        await expect(page.locator(".answer")).to_have_text(["Hello!"])
        await expect(page.locator("#state")).to_have_text("4,096 tokens of context")


@in_browser
async def test_a_key_that_holds_no_more(page: Page) -> None:
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hello!")
    await page.route("**/v1/**", lambda route: route.fulfill(status=401, json={"error": {"message": "wrong API key"}}))
    await ask(page, "more")
    await expect(page.locator(".note.error")).to_have_text("wrong API key")
    await expect(page.locator("#state")).to_have_text("Needs an API key")
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.unroute_all()
    await page.keyboard.type("sesame")
    await page.keyboard.press("Enter")
    await expect(page.locator("#state")).to_have_text("4,096 tokens of context")
    await page.get_by_text("Ask again").last.click()
    await expect(page.locator(".answer")).to_have_text(["Hello!", "Hello!"])
