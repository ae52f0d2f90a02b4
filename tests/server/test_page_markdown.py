"""An answer as it grows on the page: what is finished of it stays as it is, and it reads as if it had come at once."""

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import Page, expect

from server.text import Text
from tests.server.browser import ask, in_browser
from tests.server.scripted_engine import Script, ScriptedEngine

BLOCKS = """\
# Title
A paragraph with *emphasis*, `code` and https://example.com,
which goes on
- one
- two

  with a paragraph
  1. inner
  2. and a fence
     ```py
     a = "<b>"

     ```
- three

9) nine
#hashtag, no heading
***
```js
let a = 1;

- no list
``````
> quoted
lazily
> - in a quote

    indented

    code
Heading
---
| a | b |
|:-:|--:|
| 1 | 2 |

before
a | b
- | -
1 | 2 \r\n\r
The **end**.
"""
WITH_ADDRESSES = """\
[a] and [b]

- [a]

> [b]

[a]: https://a.example
[a]: no

more

[b]: /b
'title
of b'

# [b]
# one
# two
[a]
"""

GROWN_IN_PIECES = """async (text) => {
    const { GrowingText, markdown } = await import("/page/markdown.js");
    const [whole, grown] = [document.createElement("div"), document.createElement("div")];
    const wrong = [];
    for (let size = 1; size <= text.length; size++) {
        const growing = new GrowingText(grown);
        for (let end = size; end < text.length + size; end += size) {
            growing.draw(text.slice(0, end));
            whole.innerHTML = markdown.render(text.slice(0, end));
            if (grown.innerHTML !== whole.innerHTML) wrong.push([text.slice(0, end), grown.innerHTML]);
        }
        grown.replaceChildren();
    }
    return wrong;
}"""

READ = """async ([block, count]) => {
    const { GrowingText, markdown } = await import("/page/markdown.js");
    const { parse } = markdown;
    let characters = 0;
    markdown.parse = (text, env) => {
        characters += text.length;
        return parse.call(markdown, text, env);
    };
    const growing = new GrowingText(document.createElement("div"));
    for (let end = 1; end <= count; end++) growing.draw(block.repeat(end));
    return characters;
}"""


@in_browser
@pytest.mark.parametrize("answer", [BLOCKS, WITH_ADDRESSES], ids=["blocks", "addresses"])
async def test_in_pieces_of_every_size(page: Page, answer: str) -> None:
    assert await page.evaluate(GROWN_IN_PIECES, answer) == []


@in_browser
async def test_what_is_finished_is_not_read_again(page: Page) -> None:
    block = "a paragraph\n\n"
    assert await page.evaluate(READ, [block, 500]) < 4 * len(block) * 500


@in_browser
async def test_what_is_selected_stays_selected(
    page: Page, engine: ScriptedEngine, say: Callable[..., Script], text: Text
) -> None:
    begin, end = "<|channel|>final<|message|>First.\n\nSecond.\n\nTh", "ird.\n\nFourth."
    engine.play = lambda request: say(begin + end)
    gate = asyncio.Semaphore(len(text.tokenizer.encode_marked(begin)))
    engine.gate = gate.acquire
    await ask(page, "hi")
    await expect(page.locator(".answer p")).to_have_text(["First.", "Second.", "Th"])
    await page.locator(".answer p").nth(1).select_text()
    for _ in end + "|":
        gate.release()
    await expect(page.locator(".answer p")).to_have_text(["First.", "Second.", "Third.", "Fourth."])
    assert await page.evaluate("getSelection().toString().trim()") == "Second."
