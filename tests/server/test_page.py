"""The page for a browser: in Chromium, against a real server."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from playwright.async_api import Page, expect

from engine.request import FinishReason, Request
from engine.streams import EngineStatus
from server.app import create_app
from server.auth import Keys
from server.page import FILES
from server.text import Text
from tests.server.browser import ask, in_browser, opened
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.serving import serving

Say = Callable[..., Script]
NEXT = "<|start|>assistant"
THOUGHT = f"<|channel|>analysis<|message|>They greet.<|end|>{NEXT}<|channel|>final<|message|>"


def prompt_of(engine: ScriptedEngine, text: Text) -> str:
    return text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)


async def test_its_files(http: httpx.AsyncClient) -> None:
    types = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    assert len(FILES) >= 8
    for path, file in FILES.items():
        for answer in (await http.get(path), await http.head(path)):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(types.get(file.suffix, "text/html"))
            assert answer.headers["content-security-policy"] == (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
        assert (await http.get(path)).content == file.read_bytes()
    for other in (
        "/page",
        "/page/",
        "/page/__init__.py",
        "/page/%2e%2e/app.py",
        "/page/markdown-it/LICENSE",
        "/index.html",
    ):
        assert (await http.get(other)).status_code == 404
    assert (await http.post("/")).status_code == 405


@in_browser
async def test_a_conversation(page: Page, engine: ScriptedEngine, say: Say, text: Text) -> None:
    engine.play = lambda request: say(THOUGHT + "Hello, **you**!", cached_tokens=5)
    await expect(page.locator("#state")).to_have_text("4,096 tokens of context")
    await expect(page.get_by_label("Model")).to_have_value("tiny")
    await ask(page, "Hi <b>there</b>")
    await expect(page.locator(".user .text")).to_have_text("Hi <b>there</b>")
    answer = page.locator("article.assistant")
    await expect(answer.locator(".answer strong")).to_have_text("you")
    await expect(answer.locator("summary")).to_contain_text("Thought for")
    await expect(answer.locator(".reasoning p")).to_be_hidden()
    await answer.locator("summary").click()
    await expect(answer.locator(".reasoning p")).to_have_text("They greet.")
    await expect(answer.locator(".figures")).to_contain_text("5 of them kept from before")
    await page.get_by_label("Model").select_option("alias")
    async with page.expect_request("**/v1/chat/completions") as sent:
        await ask(page, "And again")
    assert (await sent.value).post_data_json["model"] == "alias"
    await expect(page.locator("article.assistant footer:visible")).to_have_count(2)
    assert prompt_of(engine, text).endswith(
        "<|start|>user<|message|>Hi <b>there</b><|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hello, **you**!<|end|>"
        "<|start|>user<|message|>And again<|end|><|start|>assistant"
    )
    await page.reload()
    await expect(page.locator(".user .text")).to_have_text(["Hi <b>there</b>", "And again"])
    await expect(page.locator(".answer strong")).to_have_text(["you", "you"])
    await page.get_by_text("New chat").click()
    await expect(page.locator("article")).to_have_count(0)
    await page.reload()
    await expect(page.get_by_text("Who are you?")).to_be_visible()
    await expect(page.locator("article")).to_have_count(0)


@in_browser
async def test_an_example_is_asked(page: Page, engine: ScriptedEngine, text: Text) -> None:
    await page.get_by_text("Who are you?").click()
    await expect(page.locator(".answer")).to_have_text("Hello!")
    await expect(page.get_by_text("Tell me a story.")).to_be_hidden()
    assert "<|message|>Who are you?<|end|>" in prompt_of(engine, text)


@in_browser
async def test_settings_go_with_the_request(page: Page, engine: ScriptedEngine, text: Text) -> None:
    await page.get_by_text("Settings").click()
    await page.get_by_label("Instructions").fill("Be brief.")
    await page.get_by_label("Reasoning").select_option("high")
    await page.get_by_label("Temperature").fill("0.25")
    await page.get_by_label("Longest answer").fill("77")
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hello!")
    (request,) = engine.submitted
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.25, 77)
    prompt = prompt_of(engine, text)
    assert "Reasoning: high" in prompt
    assert "Be brief." in prompt
    await page.reload()
    await page.get_by_text("Settings").click()
    await expect(page.get_by_label("Instructions")).to_have_value("Be brief.")
    await page.get_by_label("Temperature").fill("")
    await page.get_by_label("Longest answer").fill("")
    await page.get_by_text("Ask again").click()
    await expect(page.locator("article.assistant footer:visible")).to_have_count(1)
    assert len(engine.submitted) == 2
    assert engine.submitted[-1].sampling.max_tokens > 77


@in_browser
async def test_stopped(page: Page, engine: ScriptedEngine, say: Say, text: Text, eventually: Callable) -> None:
    engine.play = lambda request: say(THOUGHT + "Hello!")
    engine.gate = asyncio.Semaphore(len(text.tokenizer.encode_marked(THOUGHT + "Hel"))).acquire
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hel")
    await expect(page.get_by_role("button", name="Send")).to_be_hidden()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator(".note")).to_have_text("Stopped.")
    await eventually(lambda: engine.aborted == [engine.submitted[0].id])
    await expect(page.locator(".answer")).to_have_text("Hel")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    engine.gate = None
    await page.get_by_text("Ask again").click()
    await expect(page.locator(".answer")).to_have_text("Hello!")
    await expect(page.locator(".note")).to_be_hidden()


@in_browser
async def test_a_question_is_edited(page: Page, engine: ScriptedEngine, text: Text, eventually: Callable) -> None:
    await ask(page, "one")
    await expect(page.locator(".answer")).to_have_text("Hello!")
    engine.gate = asyncio.Event().wait
    await ask(page, "two")
    await eventually(lambda: len(engine.submitted) == 2)
    await page.get_by_text("Edit").first.click()
    await eventually(lambda: engine.aborted == [engine.submitted[1].id])
    await expect(page.locator("article")).to_have_count(0)
    await expect(page.get_by_label("Message")).to_have_value("one")
    engine.gate = None
    await ask(page, "three")
    await expect(page.locator(".answer")).to_have_text(["Hello!"])
    assert prompt_of(engine, text).endswith("<|start|>user<|message|>three<|end|><|start|>assistant")
    assert "one" not in prompt_of(engine, text).partition("<|start|>user")[2]


@in_browser
async def test_what_a_model_writes_does_nothing(page: Page, engine: ScriptedEngine, say: Say) -> None:
    """No script, no request to another place, and no word of the page's policy, which would have had to stop it."""
    hostile = (
        "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">\n\n"
        "![a](http://evil.example/?all) [b](javascript:document.title='taken') [c](https://example.com)\n\n"
        "|a|b|\n|:-:|-:|\n|1|<i>2</i>|\n\n```js\nlet a;\n```\n"
    )
    engine.play = lambda request: say(THOUGHT.replace("They greet.", hostile) + hostile)
    await ask(page, "hi")
    await expect(page.locator("article.assistant footer")).to_be_visible()
    await expect(page.locator(".answer td.to-right")).to_have_text("<i>2</i>")
    await expect(page.locator(".answer pre code")).to_have_text("let a;\n")
    await expect(page.locator(".answer :is(script, img, i), .reasoning :is(script, img)")).to_have_count(0)
    links = [
        await link.get_attribute("href") for link in await page.locator(".answer a[rel='noopener noreferrer']").all()
    ]
    assert links == ["http://evil.example/?all", "https://example.com"], (
        "a picture is a link, and asks nobody by itself"
    )
    await expect(page.locator(".answer a")).to_have_count(2)
    assert await page.title() == "Carousel"


@in_browser
@pytest.mark.parametrize(
    ("script", "note", "failed"),
    [
        ({"error": "the forward pass failed"}, "the forward pass failed", True),
        ({"finish": FinishReason.LENGTH}, "Cut off: there was no room for more.", False),
    ],
)
async def test_how_an_answer_ended(
    page: Page, engine: ScriptedEngine, say: Say, script: dict, note: str, failed: bool
) -> None:
    engine.play = lambda request: say(THOUGHT + "Hel", **script)
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hel")
    await expect(page.locator(".note")).to_have_text(note)
    assert await page.locator(".note.error").count() == failed


@in_browser
async def test_refused(page: Page, engine: ScriptedEngine) -> None:
    engine.room = 0
    await ask(page, "hi")
    await expect(page.locator(".note.error")).to_have_text("the queue is full")
    engine.room = 1
    await page.get_by_text("Ask again").click()
    await expect(page.locator(".answer")).to_have_text("Hello!")
    await ask(page, "x" * 5000)
    await expect(page.locator(".note.error")).to_contain_text("4096")


@in_browser
async def test_an_engine_that_is_lost_in_the_middle(page: Page, engine: ScriptedEngine, say: Say) -> None:
    """The page waits for another one, and what there was of the answer is not lost to one that is refused."""

    def play(request: Request) -> Script:
        engine.phase = EngineStatus("loading", 0.0, "the engine process ended")
        return say(THOUGHT + "Hel", error="the engine process ended")

    engine.play = play
    await ask(page, "hi")
    await expect(page.locator(".note.error")).to_have_text("the engine process ended")
    await expect(page.locator("#state")).to_have_text("Loading, 0%: the engine process ended")
    engine.phase, engine.room = EngineStatus("ready", 1.0), 0
    await page.get_by_text("Ask again").click()
    await expect(page.locator(".note.error")).to_have_text("the queue is full")
    await page.reload()
    await expect(page.locator(".answer")).to_have_text("Hel")


@in_browser
async def test_while_the_engine_loads(url: str, engine: ScriptedEngine) -> None:
    engine.phase = EngineStatus("loading", 0.5)
    async with opened(url) as page:
        await expect(page.locator("#state")).to_have_text("Loading, 50%")
        engine.phase = EngineStatus("loading", 0.75, "restart 2 in 4 s")
        await expect(page.locator("#state")).to_have_text("Loading, 75%: restart 2 in 4 s")
        await expect(page.get_by_label("Message")).to_be_disabled()
        engine.phase = EngineStatus("ready", 1.0)
        await ask(page, "hi")
        await expect(page.locator(".answer")).to_have_text("Hello!")


@in_browser
async def test_a_key_is_asked_for(engine: ScriptedEngine, text: Text) -> None:
    app = create_app(engine, text, replace(SETTINGS, keys=Keys.of(["sesame"])))
    async with serving(app) as url, opened(url) as page:
        await expect(page.locator("#state")).to_have_text("Needs an API key")
        for wrong in ("wrong", "wröng"):
            await page.get_by_label("API key").fill(wrong)
            await page.get_by_label("API key").press("Enter")
            await expect(page.locator("#state")).to_have_text("This API key is refused")
            await page.get_by_label("API key").fill("")
            await page.get_by_label("API key").press("Enter")
            await expect(page.locator("#state")).to_have_text("Needs an API key")
        await page.get_by_label("API key").fill("sesame")
        await page.get_by_label("API key").press("Enter")
        await ask(page, "hi")
        await expect(page.locator(".answer")).to_have_text("Hello!")
        assert "sesame" not in await page.evaluate("Object.values(localStorage).join()")


@in_browser
async def test_an_answer_under_way_is_kept_when_the_page_goes(
    page: Page, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    """Nor is it lost to somebody who asks again before the server can answer."""
    engine.play = lambda request: say(THOUGHT + "Hello!")
    engine.gate = asyncio.Semaphore(len(text.tokenizer.encode_marked(THOUGHT + "Hel"))).acquire
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hel")
    engine.phase = EngineStatus("loading", 0.5)
    await page.reload()
    await expect(page.locator(".answer")).to_have_text("Hel")
    await expect(page.locator(".note")).to_be_visible()
    await expect(page.get_by_text("Ask again")).to_be_disabled()


@in_browser
async def test_a_question_without_an_answer_can_be_asked_again(
    page: Page, engine: ScriptedEngine, eventually: Callable
) -> None:
    engine.gate = asyncio.Event().wait
    await ask(page, "hi")
    await eventually(lambda: len(engine.submitted) == 1)
    await page.reload()
    engine.gate = None
    await expect(page.locator(".note")).to_have_text("Stopped.")
    await page.get_by_text("Ask again").click()
    await expect(page.locator(".answer")).to_have_text(["Hello!"])
    await expect(page.locator("article.user")).to_have_count(1)


@in_browser
@pytest.mark.parametrize("stored", ["{", "null", '{"a": 1}', "[null]", '[{"content": ""}]'])
async def test_what_is_stored_may_be_anything(page: Page, stored: str) -> None:
    await page.evaluate("text => localStorage.setItem('carousel.settings', text)", stored)
    await page.evaluate("text => sessionStorage.setItem('carousel.conversation', text)", stored)
    await page.reload()
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hello!")


@in_browser
async def test_a_page_without_storage_works(page: Page) -> None:
    await page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, { get() { throw new DOMException('blocked', 'SecurityError'); } });"
    )
    await page.reload()
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hello!")


@in_browser
async def test_the_end_stays_in_sight(page: Page, engine: ScriptedEngine, say: Say) -> None:
    """Unless somebody has scrolled up."""
    engine.play = lambda request: say(THOUGHT + "line\n\n" * 40)
    for count in (1, 2):
        await ask(page, "hi")
        await expect(page.locator("article.assistant footer:visible")).to_have_count(count)
        await expect(page.locator("footer").last).to_be_in_viewport()
    above = asyncio.Event()
    engine.gate = above.wait
    await ask(page, "hi")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    await page.evaluate("window.scrollTo(0, 0)")
    above.set()
    await expect(page.locator("article.assistant footer:visible")).to_have_count(3)
    await expect(page.locator("footer").last).not_to_be_in_viewport()


@in_browser
async def test_a_server_that_goes_and_comes_back(page: Page) -> None:
    await ask(page, "hi")
    await expect(page.locator(".answer")).to_have_text("Hello!")
    await page.route("**/*", lambda route: route.abort())
    await ask(page, "more")
    await expect(page.locator(".note.error")).to_have_text("The server cannot be reached.")
    await expect(page.locator("#state")).to_have_text("The server cannot be reached.")
    await page.unroute_all()
    await expect(page.locator("#state")).to_have_text("4,096 tokens of context")
    await page.get_by_text("Ask again").last.click()
    await expect(page.locator(".answer")).to_have_text(["Hello!", "Hello!"])
