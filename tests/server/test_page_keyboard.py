"""The page without a mouse: what is typed, and where the keys lead."""

import pytest
from playwright.async_api import Page, Route, expect

from server.page import FILES
from tests.server.browser import ask, in_browser


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
