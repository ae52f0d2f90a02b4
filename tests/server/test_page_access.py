"""The page for those who hear it, and for those who read from right to left or on something narrow."""

from collections.abc import Callable

import pytest
from playwright.async_api import Page, expect

from engine.request import Request
from engine.streams import EngineStatus
from tests.server.browser import ask, in_browser, opened
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
FINAL = "<|channel|>final<|message|>"

LISTEN = """() => {
    window.heard = [];
    for (const live of document.querySelectorAll("[role=status], [role=alert], [aria-live=polite]"))
        new MutationObserver((changes) => {
            const isHeard = changes.some(({ target }) => !target.closest("[aria-live=off]"));
            if (isHeard && live.textContent) heard.push(live.textContent);
        }).observe(live, { childList: true, subtree: true });
}"""
"""Keeps what is read out of a page by itself."""

EDGES = """(element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const [text, block] = [range.getBoundingClientRect(), element.getBoundingClientRect()];
    return [Math.round(text.left - block.left), Math.round(block.right - text.right)];
}"""
"""Pixels to the left and to the right of an element's text."""


@in_browser
async def test_an_answer_is_read_out_once(page: Page, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(FINAL + "Hello, **you**!\n\n- One\n")
    await expect(page.get_by_label("Message")).to_be_enabled()
    await page.evaluate(LISTEN)
    await ask(page, "hi")
    await expect(page.get_by_role("article", name="Answer").locator("footer")).to_be_visible()
    heard = [" ".join(text.split()) for text in await page.evaluate("heard")]
    assert heard == ["Answering …", "Hello, you! One"]
    engine.play = lambda request: say(FINAL + "Hel", error="the forward pass failed")
    await page.get_by_text("Ask again").click()
    await expect(page.locator(".note.error")).to_be_visible()
    assert (await page.evaluate("heard"))[2:] == ["Answering …", "the forward pass failed"]
    await expect(page.get_by_role("article", name="Question")).to_have_count(1)
    await expect(page.locator("#spoken")).to_be_empty()


@in_browser
async def test_loading_is_read_out_once(url: str, engine: ScriptedEngine) -> None:
    engine.phase = EngineStatus("loading", 0.25)
    async with opened(url) as page:
        await expect(page.locator("#state")).to_have_text("Loading, 25%")
        await page.evaluate(LISTEN)
        engine.phase = EngineStatus("loading", 0.5)
        await expect(page.locator("#state")).to_have_text("Loading, 50%")
        engine.phase = EngineStatus("ready", 1.0)
        await expect(page.locator("#state")).to_have_text("4,096 tokens of context")
        assert await page.evaluate("heard") == ["4,096 tokens of context"]


@in_browser
async def test_from_right_to_left(page: Page, engine: ScriptedEngine, say: Say) -> None:
    """Each paragraph by its own letters; code never."""
    answer = "שלום\n\nHello\n\n> שלום\n\n|שלום|left|\n|-|:-|\n|1|שלום|\n\n```\nשלום()\n```\n"
    engine.play = lambda request: say(FINAL + answer)
    await page.get_by_label("Message").fill("שלום")
    assert await page.get_by_label("Message").evaluate("element => element.matches(':dir(rtl)')")
    await ask(page, "שלום\nlonger than that")
    await expect(page.locator("article.assistant footer")).to_be_visible()
    for selector, at_left in (
        (".answer > p:nth-of-type(1)", False),
        (".answer > p:nth-of-type(2)", True),
        (".answer blockquote p", False),
    ):
        left, right = await page.locator(selector).evaluate(EDGES)
        assert (left < right) == at_left, selector
    assert await page.locator(".answer pre").evaluate("element => getComputedStyle(element).direction") == "ltr"
    assert await page.locator("td").nth(1).evaluate("element => getComputedStyle(element).textAlign") == "left"


@in_browser
@pytest.mark.parametrize("width", [320, 1280])
async def test_a_line_without_end(page: Page, engine: ScriptedEngine, say: Say, width: int) -> None:
    """Nothing makes the page wider than it is."""
    await page.set_viewport_size({"width": width, "height": 600})
    line = "x" * 400
    thought = f"<|channel|>analysis<|message|>{line}<|end|><|start|>assistant"
    answer = f"{line}\n\n# {line}\n\n- {line}\n\n> {line}\n\n`{line}`\n\n```\n{line}\n```\n\n|{line}|\n|-|\n|{line}|\n"

    def play(request: Request) -> Script:
        engine.phase = EngineStatus("loading", 0.0, line)
        return say(thought + FINAL + answer, per_step=50, error=line)

    engine.play = play
    await ask(page, line)
    await expect(page.locator(".note.error")).to_be_visible()
    await expect(page.locator("#state")).to_contain_text(line)
    await page.locator("summary").click()
    assert await page.evaluate("document.documentElement.scrollWidth") == width


@in_browser
async def test_what_is_copied(page: Page, engine: ScriptedEngine, say: Say) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    engine.play = lambda request: say(FINAL + "**Hello**")
    await ask(page, "hi")
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "**Hello**"
    await expect(page.get_by_role("button", name="Copy", exact=True)).to_be_visible()
