"""The page without a mouse: what is typed, and where the keys lead."""

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import Page, Route, expect

from server.page import FILES
from server.text import Text
from tests.server.browser import ask, in_browser
from tests.server.scripted_engine import Script, ScriptedEngine

FOCUSED = """() => {
    const element = document.activeElement;
    const { left, top, right, bottom } = element.getBoundingClientRect();
    const at = (y) => document.elementFromPoint((left + right) / 2, y);
    const uncovered = [top + 2, bottom - 2].every((y) => element.contains(at(y)));
    const name = element.ariaLabel ?? element.textContent;
    return [name, uncovered && getComputedStyle(element).outlineStyle === "solid"];
}"""
"""The name of what has the focus, and whether one sees all of it and that it has."""


@in_browser
@pytest.mark.parametrize("by", ["style", "script"])
async def test_the_message_grows_with_its_lines(page: Page, by: str) -> None:
    """By script in browsers, like Firefox, whose style sheets cannot."""

    async def without_field_sizing(route: Route) -> None:
        sheet = FILES["/page/style.css"].read_text()
        await route.fulfill(body=sheet.replace("field-sizing: content;", ""), content_type="text/css")

    if by == "script":
        await page.route("**/style.css", without_field_sizing)
        await page.add_init_script("CSS.supports = () => false")
        await page.reload()
    message = page.get_by_label("Message")
    await expect(message).to_be_enabled()

    async def height() -> float:
        box = await message.bounding_box()
        assert box is not None
        return box["height"]

    one = await height()
    await message.fill("one\ntwo\nthree")
    line = (await height() - one) / 2
    assert 16 < line < 32
    assert await message.evaluate("element => element.scrollHeight <= element.clientHeight")
    await message.fill("line\n" * 100)
    assert await height() == pytest.approx(0.4 * await page.evaluate("innerHeight"))
    await ask(page, "one\ntwo")
    await expect(page.locator(".answer")).to_have_text("Hello!")
    assert await height() == one
    await page.get_by_text("Edit").click()
    assert await height() == pytest.approx(one + line)


@in_browser
async def test_tab_goes_from_above_to_below_and_is_seen(page: Page, engine: ScriptedEngine, say: Callable) -> None:
    engine.play = lambda request: say("<|channel|>final<|message|>" + "[a](https://a.example)\n\n" * 20)
    await ask(page, "hi")
    await expect(page.locator("article.assistant footer:visible")).to_have_count(1)
    stops = ["Model", "New chat", "Settings", "Edit", *["a"] * 20, "Copy", "Ask again", "Message"]
    await page.locator("#model").focus()
    for key, names in (("Tab", stops[1:]), ("Shift+Tab", stops[-2::-1])):
        for name in names:
            await page.keyboard.press(key)
            assert await page.evaluate(FOCUSED) == [name, True]
    link = page.locator(".answer a").nth(10)
    await link.evaluate("element => window.scrollBy(0, element.getBoundingClientRect().top - 10)")
    await page.locator(".answer a").nth(11).evaluate("element => element.focus({preventScroll: true})")
    await page.keyboard.press("Shift+Tab")
    assert await page.evaluate(FOCUSED) == ["a", True], "it was under the bar above"


@in_browser
async def test_shift_and_enter_make_a_line(page: Page, engine: ScriptedEngine) -> None:
    await page.get_by_label("Message").press_sequentially("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(page.locator(".user .text")).to_have_text("one\ntwo", use_inner_text=True)
    await expect(page.locator(".answer")).to_have_text("Hello!")


@in_browser
async def test_escape_stops_an_answer(
    page: Page, engine: ScriptedEngine, say: Callable[..., Script], text: Text, eventually: Callable
) -> None:
    """From wherever one is, unless it belongs to what is being composed. Then the conversation goes on."""
    engine.play = lambda request: say("<|channel|>final<|message|>Hello!")
    engine.gate = asyncio.Semaphore(len(text.tokenizer.encode_marked("<|channel|>final<|message|>Hel"))).acquire
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hel")
    await page.get_by_label("Message").dispatch_event("keydown", {"key": "Escape", "isComposing": True})
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Stop")).to_be_focused()
    assert engine.aborted == []
    await page.keyboard.press("Escape")
    await expect(page.locator(".note")).to_have_text("Stopped.")
    await expect(page.get_by_label("Message")).to_be_focused()
    await eventually(lambda: engine.aborted == [engine.submitted[0].id])
    engine.gate = None
    await ask(page, "go on")
    await expect(page.locator(".answer")).to_have_text(["Hel", "Hello!"])
    prompt = text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)
    assert "<|message|>Hel<|end|><|start|>user<|message|>go on<|end|>" in prompt


@in_browser
async def test_escape_brings_back_what_an_edit_took_until_something_is_asked(page: Page) -> None:
    for count, question in enumerate(("one", "two"), start=1):
        await ask(page, question)
        await expect(page.locator("article.assistant footer:visible")).to_have_count(count)
    await page.get_by_text("Edit").last.click()
    await expect(page.locator("article")).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(page.locator("article")).to_have_count(4)
    await page.get_by_text("Edit").last.click()
    await page.get_by_text("Ask again").click()
    await expect(page.locator("article.assistant footer:visible")).to_have_count(1)
    await expect(page.get_by_label("Message")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("article")).to_have_count(2)
    await expect(page.get_by_label("Message")).to_have_value("two")
