"""The page's colours, as the browser computes them, can be told apart: WCAG 2's ratios of level AA."""

import re
from collections.abc import Callable

import pytest
from playwright.async_api import Page, expect

from engine.request import FinishReason
from tests.server.browser import ask, in_browser
from tests.server.scripted_engine import Script, ScriptedEngine

TEXT, CONTROL = 4.5, 3.0
"""The ratios for what is read, and for the edges of what is used."""

PAIRS = """() => {
    const ground = (element) => {
        const { backgroundColor } = getComputedStyle(element);
        return backgroundColor === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : backgroundColor;
    };
    const pairs = [];
    for (const element of document.body.querySelectorAll("*")) {
        if (!element.checkVisibility() || element.matches(":disabled")) continue;
        const add = (what, colour, at) => pairs.push([what, element.outerHTML.slice(0, 60), colour, ground(at)]);
        const style = getComputedStyle(element);
        const placeholder = element.placeholder ? getComputedStyle(element, "::placeholder").color : null;
        if ([...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()))
            add("text", style.color, element);
        if (placeholder) add("text", placeholder, element);
        if (element.matches("button, input, select, textarea") && style.borderTopStyle !== "none")
            add("control", style.borderTopColor, element.parentElement);
        if (style.outlineStyle !== "none") add("control", style.outlineColor, element.parentElement);
    }
    return pairs;
}"""

EVERYTHING = (
    "<|channel|>analysis<|message|>They greet.<|end|><|start|>assistant<|channel|>final<|message|>"
    "Text, `code`, [a link](https://a.example).\n\n> A quote, `code`, [a link](https://a.example).\n\n"
    "```\ncode\n```\n\n|a|\n|-|\n|1 `code`|\n"
)


def luminance(colour: str) -> float:
    """Relative luminance, from 0 to 1, of `rgb(r, g, b)`. AssertionError for one that lets others through."""
    channels = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert channels is not None, colour
    parts = [int(channel) / 255 for channel in channels.groups()]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ratio(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_ratio() -> None:
    assert ratio("rgb(255, 255, 255)", "rgb(0, 0, 0)") == pytest.approx(21)
    assert ratio("rgb(118, 118, 118)", "rgb(255, 255, 255)") == pytest.approx(4.54, abs=0.005)


async def seen(page: Page) -> int:
    """How many pairs there are. AssertionError if any is too faint."""
    pairs = await page.evaluate(PAIRS)
    too_faint = [
        (round(ratio(colour, ground), 2), *pair)
        for pair in pairs
        for what, _, colour, ground in [pair]
        if ratio(colour, ground) < {"text": TEXT, "control": CONTROL}[what]
    ]
    assert too_faint == []
    return len(pairs)


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_on_the_page(
    page: Page, engine: ScriptedEngine, say: Callable[..., Script], scheme: str
) -> None:
    await page.emulate_media(color_scheme=scheme)
    await page.get_by_text("Settings").click()
    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Who are you?")).to_be_visible()
    assert await seen(page) > 25
    engine.play = lambda request: say(EVERYTHING, finish=FinishReason.LENGTH)
    await ask(page, "hi")
    await expect(page.locator("article.assistant footer:visible")).to_have_count(1)
    engine.play = lambda request: say("Hel", error="the forward pass failed")
    await ask(page, "hi")
    await expect(page.locator(".note.error")).to_be_visible()
    await page.locator("summary").first.click()
    await page.get_by_label("Message").fill("what can be sent")
    assert await seen(page) > 40
