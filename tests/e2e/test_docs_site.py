"""The documentation becomes a site without a warning, which works in a browser without internet."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import expect

from tests.conftest import ROOT
from tests.e2e.browser import assert_accessible
from tests.e2e.conftest import NewPage

pytestmark = pytest.mark.e2e

DOCS = ROOT / "docs"


class Loads(HTMLParser):
    """What a page loads as it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and values.get("src"):
            self.found.append(values["src"] or "")
        if tag == "link" and values.get("rel") not in ("next", "prev", "canonical"):
            self.found.append(values["href"] or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of what builds it is an error."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    end = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (end.returncode, end.stdout + end.stderr) == (0, "")
    return folder


def test_the_site_has_every_page_and_card_and_loads_nothing_from_elsewhere(site: Path, zoo: Path) -> None:
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")} - {"404"}
    written = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    cards = {f"models/{card.parent.name}" for card in zoo.glob("*/README.md")}
    assert built == {name.replace("README", "index") for name in written | cards}
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text())
        assert loads.found
        for link in loads.found:
            assert not link.startswith(("http:", "https:", "//")), (page, link)
            if page.name != "404.html" and not link.startswith("data:"):
                assert (page.parent / link.partition("?")[0].partition("#")[0]).exists(), (page, link)


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Of a server of the site's files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_page_opens_in_a_browser(new_page: NewPage, address: str, site: Path) -> None:
    page = new_page(base_url=address)
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":
            continue  # its links are a host's root
        page.goto("/" + path.relative_to(site).as_posix())
        expect(page.locator("article h1")).to_be_visible()
        pictures = page.locator("article img")
        pictures.evaluate_all("images => Promise.all(images.map(image => image.decode()))")


def test_a_word_is_found(new_page: NewPage, address: str) -> None:
    page = new_page(base_url=address)
    page.goto("/index.html")
    page.get_by_placeholder("Search").click()
    expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")  # its index is read
    page.get_by_placeholder("Search").press_sequentially("binarization")
    expect(page.locator(".md-search-result__item").first).to_contain_text("binarization")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/index.html", "/api.html"])
def test_the_pages_are_for_everybody(new_page: NewPage, address: str, path: str, scheme: str) -> None:
    page = new_page(base_url=address, color_scheme=scheme)
    page.goto(path)
    expect(page.locator("article h1")).to_be_visible()
    assert_accessible(page)
