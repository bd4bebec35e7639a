"""Fixtures of the tests that look at pages in a browser."""

from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.browser import ACTION_MS, Faults, chromium
from tests.e2e.server import running


class NewPage(Protocol):
    """Opens a page in a context of its own: cookies, storage and cache are empty."""

    def __call__(self, base_url: str = ..., **context: Any) -> Page: ...


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real service with every shipped model, each loaded at its first call."""
    with running(REPARAM_LAZY_MODELS="true", log=tmp_path_factory.mktemp("service") / "log") as (url, _):
        yield url


# Not of the session: its event loop would seem to run in every test after it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def faults() -> Faults:
    """What pages of this test did wrong; `faults.expect(pattern)` names what it provokes."""
    return Faults()


@pytest.fixture
def new_page(browser: Browser, faults: Faults, request: pytest.FixtureRequest) -> Iterator[NewPage]:
    """Opens pages of `service`, or of `base_url`, with Playwright's options of a context (`viewport`, `color_scheme`).

    The test fails if one of them logs an error, throws one, or asks another host for anything.
    """
    contexts = []

    def open_page(base_url: str = "", **context: Any) -> Page:
        base_url = base_url or request.getfixturevalue("service")
        contexts.append(browser.new_context(base_url=base_url, **context))
        contexts[-1].set_default_timeout(ACTION_MS)
        page = contexts[-1].new_page()
        faults.watch(page, urlsplit(base_url).netloc)
        return page

    yield open_page
    for context in contexts:
        context.close()
    faults.check()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page of `service`, to open with `page.goto("/")`."""
    return new_page()
