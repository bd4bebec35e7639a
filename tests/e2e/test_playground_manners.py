"""How the playground treats who uses it: their keyboard, their choices, a service that is other than it was."""

import json
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.browser import Faults
from tests.e2e.conftest import NewPage
from tests.e2e.server import running, wait_for
from tests.e2e.test_playground import draw_seven, late, now, pixels_of, ready, set_slider, wait_for_drawing
from tests.e2e.test_playground_views import field, hover, in_address, place_in_address, press, strip

pytestmark = pytest.mark.e2e

COVERED = """() => {
  const {left, top, width, height} = document.activeElement.getBoundingClientRect();
  return document.elementFromPoint(left + width / 2, top + height / 2) !== document.activeElement;
}"""


@pytest.fixture(scope="module")
def narrow() -> Iterator[str]:
    """The address of a service with small limits."""
    limits = {"MAX_SAMPLES": "64", "MAX_IMAGES": "64", "MAX_LATENTS": "50"}
    settings = {f"REPARAM_{name}": value for name, value in limits.items()}
    with running(REPARAM_MODELS="mnist-flow,mnist-ae,mnist-mlp", REPARAM_ACCESS_LOG="false", **settings) as (url, _):
        yield url


def said(page: Page) -> Locator:
    """What went wrong in the view."""
    return page.locator("main > .problem[role=alert]")


# The map keeps a place that was chosen


def test_a_place_of_the_map_is_looked_at_by_hovering_and_kept_by_a_click(page: Page) -> None:
    page.goto("/#view=map&model=mnist-2d")
    ready(page)
    expect(page.get_by_text("10,000 test digits.")).to_be_visible()
    told = page.locator(".panel figcaption").first
    hover(page, 0.2, 0.3)
    expect(told).to_contain_text("Decoded at")
    page.get_by_role("button", name="Open in the sliders").hover()
    expect(told).to_contain_text("Your digit, decoded")
    assert "map.at" not in page.url
    press(page, 0.2, 0.3)
    in_address(page, "map.at=")
    kept = place_in_address(page)
    before = told.inner_text()
    page.get_by_role("button", name="Zoom in").click()
    in_address(page, f"map.zoom=2~{kept[0]:.4f}~{kept[1]:.4f}")
    assert place_in_address(page) == kept
    expect(told).to_have_text(before)


def test_the_map_follows_the_arrow_keys_out_of_what_it_shows(page: Page) -> None:
    page.goto("/#view=map&model=mnist-2d&map.at=0.5~0.5&map.zoom=8~0.5~0.5")
    ready(page)
    expect(page.get_by_text("10,000 test digits.")).to_be_visible()
    field(page).focus()
    for _ in range(8):
        page.keyboard.press("Shift+ArrowRight")
    in_address(page, "map.at=0.6000~0.5000")
    _, middle, _ = page.evaluate("() => new URLSearchParams(location.hash.slice(1)).get('map.zoom')").split("~")
    assert abs(float(middle) - 0.6) <= 1 / 16


# The keyboard


def test_no_slider_that_has_the_focus_lies_under_what_stays_in_sight(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto("/#view=posterior")
    ready(page)
    expect(page.locator(".latents ol").first.locator("input")).to_have_count(8)
    page.locator(".latents input").nth(7).focus()
    for _ in range(7):
        assert not page.evaluate(COVERED)
        page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement === document.querySelector('.latents input')")
    assert not page.evaluate(COVERED)


def test_in_a_low_window_nothing_stays_in_sight_over_the_rest(page: Page) -> None:
    page.set_viewport_size({"width": 911, "height": 512})
    page.goto("/#view=posterior")
    ready(page)
    for selector in (".posterior .stage", "#digit"):
        assert page.locator(selector).evaluate("element => getComputedStyle(element).position") == "static"


def test_what_takes_the_sliders_back_keeps_the_focus(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    back = page.get_by_role("button", name="Back to the mean")
    expect(back).to_have_attribute("aria-disabled", "true")
    set_slider(page.locator(".latents input").first, 1.5)
    expect(back).to_have_attribute("aria-disabled", "false")
    expect(page.locator(".latents input").first).to_have_attribute("aria-valuetext", re.compile(r"^1\.\d\d$"))
    back.focus()
    page.keyboard.press("Enter")
    expect(back).to_have_attribute("aria-disabled", "true")
    expect(back).to_be_focused()


def test_what_is_on_the_sheet_is_told(page: Page) -> None:
    page.goto("/#view=noise")
    ready(page)
    page.get_by_role("button", name="a real three").click()
    expect(page.locator("#digit p.unseen[role=status]")).to_have_text("Your digit: a real three")
    expect(page.get_by_role("img", name="The digit: a real three")).to_be_visible()


# Forms


@pytest.mark.parametrize("wrong", ["1.5", "-3", "1e"])
def test_a_seed_that_is_none_leaves_the_samples_of_the_last_one(page: Page, wrong: str) -> None:
    page.goto("/#view=samples&seed=5")
    ready(page)
    seed = page.get_by_label("Seed")
    seed.fill("") if wrong == "1e" else seed.fill(wrong)
    if wrong == "1e":
        seed.press_sequentially(wrong)
    page.get_by_label("Temperature").focus()
    page.keyboard.press("ArrowRight")
    in_address(page, "temperature=1.05")
    expect(page.locator(".samples p[role=status]")).to_contain_text("seed 5 at temperature 1.05")
    assert "seed=5" in page.url
    expect(said(page)).to_be_hidden()


def test_no_seed_of_noise_is_the_last_one(page: Page) -> None:
    page.goto("/#view=noise&noise.seed=5")
    ready(page)
    seed = page.get_by_label("Seed")
    seed.fill("")
    page.get_by_role("slider", name="Amount").focus()
    expect(seed).to_have_value("5")


@pytest.mark.parametrize(("told", "index"), [("2.5", 3), ("-3", 0), ("99", 15)])
def test_a_picture_on_the_way_is_one_that_there_is(page: Page, told: str, index: int) -> None:
    page.goto(f"/#view=between&between.at={told}")
    ready(page)
    expect(page.get_by_label("Position on the way")).to_have_attribute("aria-valuetext", f"picture {index + 1} of 16")
    expect(strip(page).nth(index)).to_have_class(re.compile("current"))
    assert (pixels_of(page.locator("canvas.hero")) == pixels_of(strip(page).nth(index))).all()


def test_between_says_which_end_is_missing(page: Page) -> None:
    page.goto("/#view=between&between.b=none")
    missing = page.get_by_text("Draw a digit on either sheet, or take one.")
    expect(missing).to_be_visible()
    expect(page.locator(".player")).to_be_hidden()
    expect(page.locator("details.request")).to_be_hidden()
    page.get_by_label("B", exact=True).get_by_role("button", name="a real three").click()
    ready(page)
    expect(missing).to_be_hidden()
    expect(page.locator(".player")).to_be_visible()


# A service that is other than the page would have it


@pytest.mark.parametrize("view", ["posterior", "map"])
@pytest.mark.parametrize("model", ["mnist-flow", "mnist-ae"])
def test_small_limits_do_with_less_at_once(
    new_page: NewPage, faults: Faults, narrow: str, view: str, model: str
) -> None:
    faults.expect("status of 422")
    page = new_page(narrow)
    page.goto(f"/#view={view}&model={model}")
    ready(page)
    if view == "map":
        expect(page.get_by_text("The plane keeps")).to_be_visible()
        expect(page.locator(".neighbours canvas")).to_have_count(6)
    else:
        expect(page.get_by_text("50 draws" if model == "mnist-flow" else "200 real digits")).to_be_visible()
        lit = (
            "canvas => canvas.getContext('2d').getImageData(0, 0, 252, 28).data.some((level, i) => i % 4 < 3 && level)"
        )
        for canvas in page.locator(".latents ol").first.locator("canvas").all():
            page.wait_for_function(f"element => ({lit})(element)", arg=canvas.element_handle())
    expect(said(page)).to_be_hidden()
    page.close()


def test_what_failed_is_told_until_the_same_works(page: Page, faults: Faults) -> None:
    faults.expect("status of 422")
    page.goto("/#view=posterior")
    ready(page)
    expect(page.get_by_text("Eight codes from the posterior")).to_be_visible()
    problem = {"type": "urn:reparam:problem:invalid-input", "detail": "latents: expected others"}
    page.route("**/v1/decode?*", lambda route: route.fulfill(status=422, json=problem), times=1)
    before = pixels_of(now(page))
    page.get_by_role("button", name="a real three").click()
    expect(page.get_by_role("button", name="Draw 1: into the sliders")).to_be_visible()
    expect(said(page)).to_have_text("latents: expected others")
    page.get_by_role("button", name="Draw from the posterior").click()
    expect(said(page)).to_have_text("latents: expected others")
    assert (pixels_of(now(page)) == before).all()
    set_slider(page.locator(".latents input").first, 1.5)
    expect(said(page)).to_be_hidden()


@pytest.fixture
def fewer(page: Page, service: str, faults: Faults) -> Callable[[], None]:
    """From the call on, the page finds a service of mnist-2d alone, and that it tells so of the other model."""
    listed = httpx.get(f"{service}/v1/models", trust_env=False).json()
    left = {"default": "mnist-2d", "models": [card for card in listed["models"] if card["name"] == "mnist-2d"]}
    gone = {"type": "urn:reparam:problem:model-not-found", "detail": "model: expected mnist-2d"}

    def begin() -> None:
        faults.expect("status of 404")
        page.route("**/v1/models", lambda route: route.fulfill(json=left))
        page.route("**/v1/*?model=mnist-mlp*", lambda route: route.fulfill(status=404, json=gone))

    return begin


def assert_begun_anew(page: Page) -> None:
    expect(page.get_by_text("mnist-mlp is not served here: mnist-2d answers instead.")).to_be_visible()
    assert page.get_by_label("Model", exact=True).locator("option").all_inner_texts() == ["mnist-2d"]


def test_a_model_that_is_served_no_longer_has_the_list_read_again(page: Page, fewer: Callable[[], None]) -> None:
    page.goto("/#model=mnist-mlp")
    ready(page)
    fewer()
    page.get_by_role("button", name="a real three").click()
    assert_begun_anew(page)
    expect(page.get_by_role("img", name="What the model draws of a real three")).to_be_visible()
    expect(said(page)).to_be_hidden()


def test_what_is_drawn_for_a_model_that_is_served_no_longer_is_for_the_one_that_is(
    page: Page, fewer: Callable[[], None]
) -> None:
    page.goto("/#model=mnist-mlp")
    ready(page)
    fewer()
    draw_seven(page)
    assert_begun_anew(page)
    wait_for_drawing(page)
    expect(page.locator(".picker .said")).to_be_empty()


def test_an_end_for_a_model_that_is_served_no_longer_has_the_list_read_again(
    page: Page, fewer: Callable[[], None]
) -> None:
    page.goto("/#view=between&model=mnist-mlp")
    ready(page)
    fewer()
    page.get_by_label("B: a picture file").set_input_files("app/web/two.png")
    assert_begun_anew(page)


def test_a_service_that_comes_back_and_needs_a_key_is_not_told_to_be_away(page: Page, faults: Faults) -> None:
    faults.expect("ERR_FAILED")
    faults.expect("status of 401")
    page.goto("/")
    ready(page)
    page.route("**/v1/reconstruct?*", lambda route: route.fulfill(status=401, json={"title": "A key is needed"}))
    page.route("**/v1/reconstruct?*", lambda route: route.abort(), times=1)
    page.get_by_role("button", name="a real three").click()
    expect(page.locator("#trouble")).to_contain_text("The service cannot be reached.")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#trouble")).to_be_empty(timeout=2_000)


@pytest.mark.parametrize("cut_off", [False, True], ids=["refused", "cut off"])
def test_a_large_picture_that_takes_too_long_is_not_sent_again(page: Page, faults: Faults, cut_off: bool) -> None:
    faults.expect("ERR_CONNECTION_RESET" if cut_off else "status of 408")
    page.clock.install()
    page.goto("/")
    ready(page)
    sent: list[Route] = []
    page.route("**/v1/fit?*", lambda route: sent.append(route))
    photograph = {"name": "large.png", "mimeType": "image/png", "buffer": bytes(3_000_000)}
    page.get_by_label("Your digit: a picture file").set_input_files(photograph)
    wait_for(lambda: page.evaluate("true") and sent)
    page.clock.fast_forward(20_000)
    if cut_off:
        sent[0].abort("connectionreset")
    else:
        sent[0].fulfill(status=408, json={"title": "The body did not come in time"})
    expect(page.locator("#digit .said")).to_contain_text("This picture could not be sent in time.")
    expect(page.locator("#trouble")).to_be_empty()
    page.clock.fast_forward(20_000)
    page.get_by_role("button", name="a real three").click()
    expect(page.get_by_role("img", name="What the model draws of a real three")).to_be_visible()
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [({"status": 500, "body": "no"}, "the service answered 500"), ({"body": "<html>"}, "This page cannot start: ")],
)
def test_a_page_that_cannot_start_says_so(page: Page, faults: Faults, answer: dict[str, object], words: str) -> None:
    faults.expect("status of 500" if "status" in answer else "SyntaxError")

    def refuse(route: Route) -> None:
        route.fulfill(**answer)  # type: ignore[arg-type]

    page.route("**/v1/models", refuse)
    page.goto("/")
    expect(page.locator("main [role=alert]")).to_contain_text(words)


def test_a_page_of_which_a_part_is_missing_says_so(page: Page, faults: Faults) -> None:
    faults.expect("status of 503")
    page.route("**/web/views/noise.js", lambda route: route.fulfill(status=503))
    page.goto("/")
    expect(page.get_by_text("If it stays like this a part of it is missing")).to_be_visible()


def test_a_browser_that_keeps_nothing_is_good_enough(page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('no', 'SecurityError'); }});"
    )
    page.goto("/")
    ready(page)


@pytest.mark.parametrize("how", ["Clear", "Undo"])
def test_a_stroke_ends_where_the_sheet_is_cleared(page: Page, how: str) -> None:
    page.goto("/")
    ready(page)
    box = page.locator("canvas.pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 190, box["y"] + 62, steps=6)
    page.get_by_role("button", name=how).press("Enter")
    page.mouse.move(box["x"] + 110, box["y"] + 210, steps=6)
    page.mouse.up()
    expect(page.get_by_role("img", name=re.compile("^Your digit: nothing"))).to_be_visible()


def test_the_sheet_is_of_the_digit_that_the_user_went_back_and_forth_to(page: Page) -> None:
    page.goto("/#view=draw")
    ready(page)
    draw_seven(page)
    wait_for_drawing(page)
    page.get_by_role("link", name="Posterior").click()
    ready(page)
    page.get_by_role("button", name="a real three").click()
    expect(page).to_have_url(re.compile("digit=t3"))
    ready(page)
    with late(page, "fit"):
        page.go_back()
        expect(page.get_by_role("img", name=re.compile("^Your digit: your drawing"))).to_be_visible()
        page.go_forward()
        expect(page.get_by_role("heading", name="Posterior")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Your digit: a real three"))).to_be_visible()
    expect(page.get_by_text("Eight codes from the posterior")).to_be_visible()


def test_a_view_that_is_left_leaves_nothing_behind(page: Page) -> None:
    page.goto("/#view=samples")
    ready(page)
    tools = page.context.new_cdp_session(page)
    sheets = []
    for _ in range(2):
        for _ in range(4):
            page.get_by_role("link", name="Between two digits").click()
            expect(page.locator("canvas.pad")).to_have_count(3)
            ready(page)
            page.get_by_role("link", name="Samples").click()
            ready(page)
        tools.send("HeapProfiler.collectGarbage")
        kind = tools.send("Runtime.evaluate", {"expression": "HTMLCanvasElement.prototype"})["result"]["objectId"]
        there = tools.send("Runtime.queryObjects", {"prototypeObjectId": kind})["objects"]["objectId"]
        count = "function () { return this.filter(canvas => canvas.className === 'pad').length; }"
        found = tools.send("Runtime.callFunctionOn", {"objectId": there, "functionDeclaration": count})
        tools.send("Runtime.releaseObject", {"objectId": there})
        sheets.append(found["result"]["value"])
    assert sheets[1] <= sheets[0] <= 3, json.dumps(sheets)
