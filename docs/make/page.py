"""docs/pictures/page.png: the page in a real chat with the embedded model. `python -m docs.make.page`

Needs Chromium.
"""

import os
import re
import shutil
from pathlib import Path

from playwright.sync_api import expect, sync_playwright
from rich.console import Console

from docs.make.terminal import serving

PICTURE = Path(__file__).parent.parent / "pictures" / "page.png"
QUESTIONS = ("What is 48 times 7?", "What is the capital of Peru?")


if __name__ == "__main__":
    with open(os.devnull, "w") as nowhere, serving(Console(file=nowhere)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 760, "height": 560}, device_scale_factor=1.5, color_scheme="light")
        page.goto(url)
        page.get_by_text("Settings").click()
        page.get_by_label("Temperature").fill("0")
        page.get_by_text("Settings").click()
        for count, question in enumerate(QUESTIONS, start=1):
            page.get_by_label("Message").fill(question)
            page.get_by_label("Message").press("Enter")
            expect(page.locator("article.assistant footer:visible")).to_have_count(count)
        page.locator("summary").first.click()
        expect(page.locator(".answer").last).to_have_text(re.compile("Lima"))
        page.screenshot(path=PICTURE)
        browser.close()
