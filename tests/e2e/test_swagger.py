"""Swagger UI as a person uses it: press Execute."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import ROOT
from tests.e2e.browser import Faults
from tests.e2e.conftest import NewPage
from tests.e2e.server import get, running

pytestmark = pytest.mark.e2e

# How far apart the darkest and the brightest of an image's red values are, of 255.
CONTRAST = """async image => {
  await image.decode()
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d")
  canvas.drawImage(image, 0, 0)
  const values = canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data.filter((_, i) => i % 4 == 0)
  return values.reduce((a, b) => Math.max(a, b)) - values.reduce((a, b) => Math.min(a, b))
}"""


def _operations(service: str) -> list[dict[str, Any]]:
    paths = get(f"{service}/openapi.json").json()["paths"]
    return [operation for methods in paths.values() for operation in methods.values()]


def _assert_shown(answer: Locator, media: str) -> None:
    """The answer is 200, and its content is on the page."""
    expect(answer.locator(".response-col_status")).to_have_text("200")
    if media.startswith("image/"):
        picture = answer.locator("img")
        expect(picture).to_be_visible()
        assert picture.evaluate(CONTRAST) > 100
        return
    text = answer.locator("code").first.inner_text()
    assert json.loads(text) if media == "application/json" else "reparam_requests_total" in text


def _open(page: Page, operation: dict[str, Any]) -> Locator:
    """The block of an operation, unfolded."""
    (tag,) = operation["tags"]
    block = page.locator(f"#operations-{tag.replace(' ', '_')}-{operation['operationId']}")
    block.locator(".opblock-summary-control").click()
    return block


def _execute(block: Locator) -> Locator:
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response").first


def test_every_operation_runs_as_it_stands(page: Page, service: str) -> None:
    operations = _operations(service)
    page.goto("/docs")
    expect(page.locator(".opblock")).to_have_count(len(operations))
    for operation in operations:
        block = _open(page, operation)
        _assert_shown(_execute(block), next(iter(operation["responses"]["200"]["content"])))
        block.locator(".opblock-summary-control").click()  # folded again, for the next to be in view


@pytest.mark.parametrize("media", ["multipart/form-data", "image/png"])
def test_a_file_of_ones_own_can_be_sent(page: Page, service: str, media: str) -> None:
    page.goto("/docs")
    block = _open(page, next(one for one in _operations(service) if one["operationId"] == "reconstruct"))
    block.get_by_label("Request content type").select_option(media)
    block.locator("input[type=file]").set_input_files(ROOT / "app" / "web" / "seven.png")
    _assert_shown(_execute(block), "image/png")


def test_a_proxy_may_have_it_at_any_path(page: Page, service: str) -> None:
    """Which the proxy takes off, as nginx does under `location /any/path/ { proxy_pass http://service/; }`."""
    page.route("**/any/path/**", lambda route: route.continue_(url=route.request.url.replace("/any/path/", "/")))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/any/path/docs")
    block = _open(page, next(one for one in _operations(service) if one["operationId"] == "sample"))
    _assert_shown(_execute(block), "image/png")
    page.goto("/any/path/")
    expect(page.locator("main")).to_contain_text("numbers")
    assert len(asked) > 10
    assert not [url for url in asked if not url.startswith((f"{service}/any/path/", "blob:", "data:"))]


def test_a_key_is_given_once(new_page: NewPage, faults: Faults) -> None:
    with running("--model", "mnist-mlp", REPARAM_API_KEYS="a-key-of-sixteen-letters") as (url, _):
        page = new_page(base_url=url)
        page.goto("/docs")
        block = _open(page, next(one for one in _operations(url) if one["operationId"] == "sample"))
        expect(_execute(block).locator(".response-col_status")).to_have_text(re.compile("^401"))
        faults.expect("status of 401")
        page.locator(".auth-wrapper .authorize").click()
        dialog = page.locator(".dialog-ux")
        dialog.locator("input").first.fill("a-key-of-sixteen-letters")
        dialog.get_by_role("button", name="Apply credentials").first.click()
        dialog.get_by_role("button", name="Close").first.click()
        _assert_shown(_execute(block), "image/png")
