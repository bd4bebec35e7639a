"""What watches the pages sees what it is there for."""

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import Faults, assert_accessible

pytestmark = pytest.mark.e2e

HOST = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("console.error('broken')", "logged: broken"),
        ("setTimeout(() => { throw new Error('broken') })", "threw: broken"),
        ("fetch('http://127.0.0.1:2/elsewhere').catch(() => 0)", "asked another host: http://127.0.0.1:2/elsewhere"),
    ],
)
def test_every_fault_is_found(browser: Browser, script: str, words: str) -> None:
    faults = Faults()
    with browser.new_context() as context:
        page = context.new_page()
        faults.watch(page, HOST)
        page.set_content("<p>A page</p>")
        faults.check()
        page.evaluate(f"() => {{ {script} }}")
        page.evaluate("() => new Promise(done => setTimeout(done, 100))")
    with pytest.raises(AssertionError, match=words):
        faults.check()


def test_a_fault_that_is_expected_has_to_come(browser: Browser) -> None:
    faults = Faults()
    faults.expect("logged: bro.en")
    with browser.new_context() as context:
        page = context.new_page()
        faults.watch(page, HOST)
        with pytest.raises(AssertionError, match="expected, and not found"):
            faults.check()
        page.evaluate("() => console.error('broken')")
    faults.check()


def test_a_picture_without_words_is_found(browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_content("<html lang='en'><title>A page</title><img src='data:,'></html>")
        with pytest.raises(AssertionError, match="image-alt"):
            assert_accessible(page)
        page.set_content("<html lang='en'><title>A page</title><img src='data:,' alt='A seven'></html>")
        assert_accessible(page)
