"""A real browser: the system's Chromium, driven by Playwright."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.conftest import Server

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "Browser tests need Chromium: install it, or leave them out with `make test`."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


def is_complaint(said: ConsoleMessage) -> bool:
    """An answer with an error status is reported as well; that the page deals with it is what tests look at."""
    return said.type in ("error", "warning") and "Failed to load resource" not in said.text


@pytest.fixture
def open_page(browser: Browser, demo: Server) -> Iterator[Open]:
    """Opens the page as one of the demo's people; what the page complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def opened(user: str | None = "mara", path: str = "/", **options: object) -> Page:
        context = browser.new_context(viewport=options.pop("viewport", {"width": 1360, "height": 900}), **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
        if user:
            context.request.post(
                f"{demo.address}/v1/demo/sign-in", data={"user": user}, headers={"Origin": demo.address}
            )
        page.goto(demo.address + path)
        if user:
            page.wait_for_selector("loupe-results .card, loupe-results .notice")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
