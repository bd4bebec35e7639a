"""A real browser on the service's pages, Debian's Chromium, and what must never happen on one."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.needs import lacks, need

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WITHOUT_WINDOWS = "chromium-headless-shell"  # Debian's too: a page takes a quarter of what one in a window takes
ACTION_MS = 60_000  # how long an action or an expectation may take, on a busy machine
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium as it is on a new machine: its profile is an empty folder, gone when it ends."""
    path = shutil.which(WITHOUT_WINDOWS) or need("chromium", "the pages")
    expect.set_options(timeout=ACTION_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Faults:
    """What no page may do: log an error, throw one, or ask another host for anything."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._expected: list[str] = []

    def watch(self, page: Page, host: str) -> None:
        """From now on, with every request to another than `host`, which is `name:port`."""

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                self._found.append(f"{page.url} logged: {message.text} ({message.location.get('url')})")

        def on_request(request: Request) -> None:
            url = urlsplit(request.url)
            if url.scheme not in ("data", "blob") and url.netloc != host:
                self._found.append(f"{page.url} asked another host: {request.url}")

        page.on("console", on_console)
        page.on("request", on_request)
        page.on("pageerror", lambda error: self._found.append(f"{page.url} threw: {error}"))

    def expect(self, pattern: str) -> None:
        """Faults that match the regular expression belong to the test, which fails if there is none."""
        self._expected.append(pattern)

    def check(self) -> None:
        """Raises: AssertionError: with every fault that was not expected, and every one that was and did not come."""
        unexpected = [one for one in self._found if not any(re.search(pattern, one) for pattern in self._expected)]
        absent = [pattern for pattern in self._expected if not any(re.search(pattern, one) for one in self._found)]
        assert not unexpected, "\n".join(unexpected)
        assert not absent, f"expected, and not found: {absent}"


def assert_accessible(page: Page) -> None:
    """No violation of WCAG's levels A and AA that axe-core can find on the page as it is now."""
    if not AXE.exists():
        lacks("axe-core is not installed (make axe, which needs npm)", "accessibility")
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "async levels => (await axe.run(document, {runOnly: levels, resultTypes: ['violations']})).violations", LEVELS
    )
    told = [
        f"{violation['id']} ({violation['impact']}): {violation['help']}\n  {node['html']}\n  {node['failureSummary']}"
        for violation in found
        for node in violation["nodes"]
    ]
    assert not told, "\n".join(told)
