"""The playground in a real browser, on a real service with the shipped models."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from models.data import load_mnist
from tests.e2e.browser import Faults, assert_accessible
from tests.e2e.conftest import NewPage
from tests.e2e.server import free_port, running, wait_for

pytestmark = pytest.mark.e2e

SEVEN = [(60, 60), (190, 62), (150, 120), (110, 210)]  # corners of a stroke, on a sheet of 256
KEY = "the-key-of-a-visitor"
SMALL = {"REPARAM_MODELS": "mnist-mlp", "REPARAM_ACCESS_LOG": "false"}  # nobody reads its log
PIXELS = """canvas => Array.from(
  canvas.getContext("2d").getImageData(0, 0, 28, 28).data.filter((_, i) => i % 4 === 0))"""
VIEWS = ("draw", "posterior", "samples")


def pixels_of(canvas: Locator) -> np.ndarray:
    """(28, 28) in 0..1, as they are on the screen."""
    return np.array(canvas.evaluate(PIXELS), float).reshape(28, 28) / 255


def wait_for_drawing(page: Page) -> None:
    """The stroke of `draw_seven` to its end, as the address has it, has been seen and reconstructed."""
    page.wait_for_function(
        """end => {
             const source = new URLSearchParams(location.hash.slice(1)).get("digit") ?? "";
             if (!source.startsWith("s")) return false;
             const bytes = atob(source.slice(1).replaceAll("-", "+").replaceAll("_", "/"));
             const last = [bytes.charCodeAt(bytes.length - 2), bytes.charCodeAt(bytes.length - 1)];
             const close = last.every((at, i) => Math.abs(at - end[i]) < 6);
             return close && document.querySelectorAll(".draw canvas.tile")[1].dataset.of === source;
           }""",
        arg=SEVEN[-1],
    )


def wait_for_change(canvas: Locator, before: np.ndarray) -> np.ndarray:
    """The pixels, once they are others than they were."""
    canvas.page.wait_for_function(
        f"([canvas, before]) => ({PIXELS})(canvas).some((level, i) => level !== before[i])",
        arg=[canvas.element_handle(), (before.ravel() * 255).round().astype(int).tolist()],
    )
    return pixels_of(canvas)


def ready(page: Page) -> None:
    """The first call of the view has been answered and drawn."""
    expect(page.locator("details.request")).to_be_visible()


def draw_seven(page: Page) -> None:
    box = page.locator("canvas.pad").bounding_box()
    assert box
    points = [(box["x"] + x * box["width"] / 256, box["y"] + y * box["height"] / 256) for x, y in SEVEN]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


def draw_seven_with_a_finger(page: Page) -> None:
    box = page.locator("canvas.pad").bounding_box()
    assert box
    finger = page.context.new_cdp_session(page)
    for i, (x, y) in enumerate(SEVEN):
        point = {"x": box["x"] + x * box["width"] / 256, "y": box["y"] + y * box["height"] / 256}
        kind = "touchMove" if i else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def set_slider(slider: Locator, value: float) -> None:
    slider.evaluate(
        """(slider, value) => {
             slider.value = value;
             slider.dispatchEvent(new Event("input", {bubbles: true}));
             slider.dispatchEvent(new Event("change", {bubbles: true}));
           }""",
        value,
    )


@contextmanager
def late(page: Page, *names: str) -> Iterator[None]:
    """The first call of each name that is made inside is answered at the end, unless it is called off before."""
    held: dict[str, Route] = {}

    def hold(route: Route) -> None:
        name = route.request.url.partition("?")[0].rpartition("/")[2]
        if name in held:
            route.continue_()
        held.setdefault(name, route)

    called = re.compile(rf"/v1/({'|'.join(names)})\?")
    page.route(called, hold)
    yield
    wait_for(lambda: page.evaluate("true") and len(held) == len(names))
    for route in held.values():
        if route.request.failure:
            continue
        with page.expect_response(lambda answer, route=route: answer.request == route.request) as answered:
            route.continue_()
        answered.value.finished()
    page.wait_for_timeout(300)
    page.unroute(called, hold)


def refuse(page: Page, name: str, times: int | None = None) -> None:
    """The next calls of `name`, so many or all, are too many, and are to be made again in ten minutes."""
    answer = {"status": 429, "headers": {"retry-after": "600"}, "json": {"title": "Too many requests"}}
    page.route(f"**/v1/{name}?*", lambda route: route.fulfill(**answer), times=times)


def seen(page: Page) -> Locator:
    return page.locator(".draw canvas.tile").first


def rebuilt(page: Page) -> Locator:
    return page.locator(".draw canvas.tile").last


def now(page: Page) -> Locator:
    return page.locator(".posterior canvas.now")


def test_a_drawn_seven_is_seen_and_reconstructed(page: Page, mnist: Path) -> None:
    page.goto("/")
    ready(page)
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Draw a digit, or take one.")).to_be_visible()
    assert not pixels_of(seen(page)).any()
    draw_seven(page)
    wait_for_drawing(page)
    expect(page.get_by_role("img", name="What the model draws of your drawing")).to_be_visible()
    expect(page.locator(".verdict")).to_contain_text("are more ordinary")
    x, again = pixels_of(seen(page)), pixels_of(rebuilt(page))
    rows, _ = np.nonzero(x > 0.3)
    assert rows.max() - rows.min() in (18, 19, 20) and x.max() > 0.9  # scaled to 20 pixels, light on dark
    assert abs((x.sum(axis=1) @ np.arange(28)) / x.sum() - 14) < 1  # and centred by mass
    assert np.square(x - again).mean() < 0.02 and again.max() > 0.8
    # Of real test digits, the mean seven is the most like it.
    test = load_mnist(mnist, "test")
    means = np.stack([(test.images[test.labels == digit] / 255).mean(axis=0) for digit in range(10)])
    likeness = (means * again).sum(axis=(1, 2)) / np.sqrt(np.square(means).sum(axis=(1, 2)))
    assert likeness.argmax() == 7


def test_undo_takes_back_a_stroke(page: Page) -> None:
    page.goto("/")
    ready(page)
    page.get_by_role("button", name="Clear").click()
    draw_seven(page)
    wait_for_drawing(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Draw a digit, or take one.")).to_be_visible()
    assert not pixels_of(seen(page)).any()


def test_a_picture_file_is_fitted_as_the_service_does(
    page: Page, tmp_path: Path, digits: np.ndarray, faults: Faults
) -> None:
    faults.expect("status of 422")
    page.goto("/")
    ready(page)
    before = pixels_of(seen(page))
    photograph = np.full((300, 300), 230, np.uint8)
    photograph[50:246, 60:256] -= (digits[1].repeat(7, axis=0).repeat(7, axis=1) * 0.8).astype(np.uint8)
    Image.fromarray(photograph).save(tmp_path / "two.jpg", quality=90)
    page.get_by_label("Your digit: a picture file").set_input_files(tmp_path / "two.jpg")
    fitted = wait_for_change(seen(page), before)
    assert np.square(fitted - digits[1] / 255).mean() < 0.02
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    page.get_by_label("Your digit: a picture file").set_input_files(tmp_path / "broken.png")
    expect(page.locator(".picker .said")).to_contain_text("expected a sound PNG, JPEG")
    Image.new("L", (100, 100), 255).save(tmp_path / "broken.png")  # chosen again, under the same name
    page.get_by_label("Your digit: a picture file").set_input_files(tmp_path / "broken.png")
    expect(page.locator(".picker .said")).to_contain_text("This picture is blank")
    np.testing.assert_array_equal(pixels_of(seen(page)), fitted)


def test_a_picture_can_be_dropped_and_pasted(page: Page) -> None:
    page.goto("/")
    ready(page)
    for event, holder in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.locator(".examples button").nth(1 if event == "drop" else 3).click()
        before = wait_for_change(seen(page), np.zeros((28, 28)))
        page.evaluate(
            """async ([event, holder]) => {
                 const given = new DataTransfer();
                 const bytes = await (await fetch("web/two.png")).blob();
                 given.items.add(new File([bytes], "two.png", {type: "image/png"}));
                 const happened = new Event(event, {bubbles: true, cancelable: true});
                 Object.defineProperty(happened, holder, {value: given});
                 document.querySelector(".picker").dispatchEvent(happened);
               }""",
            [event, holder],
        )
        wait_for_change(seen(page), before)
        expect(page.get_by_role("img", name="What the model draws of the picture two.png")).to_be_visible()


@pytest.mark.parametrize("first", ["stroke", "file"])
def test_a_digit_that_comes_late_does_not_replace_the_one_that_was_taken_after_it(page: Page, first: str) -> None:
    page.goto("/")
    ready(page)
    with late(page, "fit"):
        if first == "stroke":
            draw_seven(page)
        else:
            page.get_by_label("Your digit: a picture file").set_input_files(Path("app/web/two.png"))
        page.get_by_role("button", name="a real three").click()
        expect(page.get_by_role("img", name="What the model draws of a real three")).to_be_visible()
    expect(seen(page)).to_have_attribute("aria-label", "What the model sees of a real three")
    page.wait_for_function("() => location.hash.includes('digit=t3')")
    page.get_by_role("button", name="Clear").click()
    draw_seven(page)  # the sheet is as good as before
    wait_for_drawing(page)


def test_a_picture_is_called_off_when_a_digit_is_taken_after_it(page: Page, tmp_path: Path, faults: Faults) -> None:
    faults.expect("429")
    (tmp_path / "no-picture.png").write_bytes(b"no picture")
    page.goto("/")
    ready(page)
    refuse(page, "fit")  # again and again: a call that gets through has it tried sooner
    page.get_by_label("Your digit: a picture file").set_input_files(tmp_path / "no-picture.png")
    expect(page.locator("#trouble")).to_contain_text("Trying again in 600 seconds")
    page.get_by_role("button", name="a real three").click()
    expect(page.get_by_role("img", name="What the model draws of a real three")).to_be_visible()
    expect(page.locator("#trouble")).to_have_text("")
    expect(page.locator("#digit .said")).to_have_text("")


def test_a_picture_that_cannot_be_read_is_called_so(page: Page) -> None:
    page.goto("/")
    ready(page)
    page.evaluate(
        "() => { File.prototype.arrayBuffer = async () => { throw new DOMException('gone', 'NotFoundError'); }; }"
    )
    page.get_by_label("Your digit: a picture file").set_input_files(Path("app/web/two.png"))
    expect(page.locator("#digit .said")).to_have_text("This file cannot be read. Choose it again, or another.")
    expect(page.locator("#trouble")).to_have_text("")
    page.get_by_role("button", name="a real three").click()
    expect(page.locator("#digit .said")).to_have_text("")


def test_what_is_cleared_or_shown_over_comes_back_if_it_was_drawn(page: Page) -> None:
    page.goto("/#digit=none")
    expect(page.locator(".verdict")).to_contain_text("Draw a digit")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_have_attribute("aria-disabled", "true")
    draw_seven(page)
    page.wait_for_function("() => location.hash.includes('digit=s')")
    wait_for_drawing(page)
    drawn = page.evaluate("() => new URLSearchParams(location.hash.slice(1)).get('digit')")
    for over in ("a real three", "Clear"):
        page.get_by_role("button", name=over).click()
        expect(
            page.get_by_role("img", name=re.compile(f"Your digit: {'nothing' if over == 'Clear' else over}"))
        ).to_be_visible()
        undo.click()
        expect(page.get_by_role("img", name=re.compile("Your digit: your drawing"))).to_be_visible()
        page.wait_for_function("(drawn) => location.hash.includes(drawn)", arg=drawn)


def test_what_is_no_digit_is_called_so(page: Page) -> None:
    page.goto("/")
    ready(page)
    page.get_by_role("button", name="Clear").click()
    box = page.locator("canvas.pad").bounding_box()
    assert box
    for k in range(5):  # a hatching
        page.mouse.move(box["x"] + 20, box["y"] + 20 + 50 * k)
        page.mouse.down()
        page.mouse.move(box["x"] + 240, box["y"] + 20 + 50 * k, steps=3)
        page.mouse.up()
    expect(page.locator(".verdict")).to_contain_text("Unlike anything in the training data")


def test_a_slider_decodes_and_can_be_taken_back(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    mean = pixels_of(now(page))
    sliders = page.locator(".latent input")
    nats = [
        float(text.split()[0])
        for text in page.locator(".latents > ol .name .caption").all_text_contents()
        if "nats" in text
    ]
    assert len(nats) == 8 and nats == sorted(nats, reverse=True)
    assert page.locator(".latent input:visible").count() == 8
    expect(page.get_by_text(re.compile(r"\d+ inactive: each says less than"))).to_be_visible()
    page.get_by_text(re.compile(r"^\d+ inactive")).click()
    assert page.locator(".latent input:visible").count() > 8 and page.locator(".latent").count() == 40
    set_slider(sliders.first, 3.5)
    moved = wait_for_change(now(page), mean)
    assert np.square(moved - mean).mean() > 0.005
    expect(page.get_by_text("decoded from the sliders")).to_be_visible()
    page.get_by_role("button", name="Back to the mean").click()
    expect(page.get_by_text("decoded from the mean")).to_be_visible()
    np.testing.assert_array_equal(pixels_of(now(page)), mean)


def test_a_strip_shows_what_the_latent_does(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    strip = page.locator(".latent canvas").first
    page.wait_for_function(
        "strip => strip.getContext('2d').getImageData(0, 0, 252, 28).data.some((level, i) => !(i % 4) && level > 99)",
        arg=strip.element_handle(),
    )
    before = pixels_of(now(page))
    box = strip.bounding_box()
    assert box
    strip.click(position={"x": box["width"] * 8.5 / 9, "y": box["height"] / 2})
    after = wait_for_change(now(page), before)
    last = np.array(
        strip.evaluate(
            "c => Array.from(c.getContext('2d').getImageData(224, 0, 28, 28).data.filter((_, i) => !(i % 4)))"
        )
    )
    assert np.abs(last.reshape(28, 28) / 255 - after).max() < 0.02


def test_draws_from_the_posterior_and_from_the_prior(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    mean = pixels_of(now(page))
    draws = page.get_by_role("group", name="Draws from the posterior").locator("canvas")
    expect(draws).to_have_count(8)
    drawn = [pixels_of(draws.nth(i)) for i in range(8)]
    assert len({image.tobytes() for image in drawn}) == 8
    assert max(np.square(image - mean).mean() for image in drawn) < 0.05  # all of them the digit
    page.get_by_role("button", name="Draw 3: into the sliders").click()
    expect(page.get_by_text("decoded from the sliders")).to_be_visible()
    assert np.abs(pixels_of(now(page)) - drawn[2]).max() < 0.02
    page.get_by_role("button", name="Draw from the posterior").click()
    page.wait_for_function(
        f"before => ({PIXELS})(document.querySelector('.actions canvas')).some((level, i) => level !== before[i])",
        arg=(drawn[0].ravel() * 255).round().astype(int).tolist(),
    )
    before = pixels_of(now(page))
    page.get_by_role("button", name="Draw from the prior").click()
    assert np.square(wait_for_change(now(page), before) - mean).mean() > 0.01


def test_never_more_than_one_decode_is_in_flight_and_the_last_is_drawn(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    expect(page.get_by_role("group", name="Draws from the posterior").locator("canvas")).to_have_count(8)
    flying, most, total = 0, 0, 0

    def begun(request) -> None:
        nonlocal flying, most, total
        if "/v1/decode" in request.url:
            flying, total = flying + 1, total + 1
            most = max(most, flying)

    def ended(request) -> None:
        nonlocal flying
        flying -= "/v1/decode" in request.url

    page.on("request", begun)
    page.on("requestfinished", ended)
    page.locator(".latent input").first.evaluate(
        """async slider => {
             for (let i = 0; i <= 60; i++) {
               slider.value = -4 + (8 * i) / 60;
               slider.dispatchEvent(new Event("input", {bubbles: true}));
               await new Promise((resolve) => setTimeout(resolve, 4));
             }
             slider.dispatchEvent(new Event("change", {bubbles: true}));
           }"""
    )
    expect(page.locator(".latent .value").first).to_have_text("4.00")
    strip = page.locator(".latent canvas").first
    page.wait_for_function(  # the strip's last digit is where the slider rests
        f"""([canvas, strip]) => {{
             const there = strip.getContext("2d").getImageData(224, 0, 28, 28).data.filter((_, i) => i % 4 === 0);
             return ({PIXELS})(canvas).every((level, i) => Math.abs(level - there[i]) <= 4);
           }}""",
        arg=[now(page).element_handle(), strip.element_handle()],
    )
    assert most == 1 and 2 <= total <= 62


def test_a_decode_that_comes_late_finds_the_sheet_cleared(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    expect(page.get_by_role("group", name="Draws from the posterior").locator("canvas")).to_have_count(8)
    with late(page, "decode"):
        set_slider(page.locator(".latent input").first, 2.5)
        page.get_by_role("button", name="Clear").click()
        expect(page.locator(".latents")).to_have_text("Draw a digit, or take one.")
    page.get_by_role("button", name="a real three").click()
    expect(page.get_by_text("decoded from the mean")).to_be_visible()


def test_a_decode_that_comes_late_moves_no_slider_of_another_digit(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    expect(page.get_by_role("group", name="Draws from the posterior").locator("canvas")).to_have_count(8)
    with late(page, "decode", "encode"):
        set_slider(page.locator(".latent input").first, 2.5)
        page.get_by_role("button", name="a real three").click()
    page.wait_for_function("() => location.hash.includes('digit=t3')")
    expect(page.get_by_text("decoded from the mean")).to_be_visible()
    assert page.evaluate("new URLSearchParams(location.hash.slice(1)).has('z')") is False


def draws(page: Page) -> Locator:
    return page.get_by_role("group", name="Draws from the posterior").locator("canvas")


def test_a_draw_from_the_prior_that_comes_late_moves_no_slider_of_another_digit(page: Page) -> None:
    page.goto("/#view=posterior")
    ready(page)
    expect(draws(page)).to_have_count(8)
    with late(page, "sample"):
        page.get_by_role("button", name="Draw from the prior").click()
        page.get_by_role("button", name="a real three").click()
        page.wait_for_function("() => location.hash.includes('digit=t3')")
        expect(page.get_by_text("decoded from the mean")).to_be_visible()
    expect(page.get_by_text("decoded from the mean")).to_be_visible()
    page.get_by_role("button", name="Draw from the prior").click()
    expect(page.get_by_text("decoded from the sliders")).to_be_visible()


@pytest.mark.parametrize("then", ["another digit", "another draw"])
def test_draws_that_come_late_replace_none_that_came_after_them(page: Page, then: str) -> None:
    page.goto("/#view=posterior")
    ready(page)
    expect(draws(page)).to_have_count(8)
    before = pixels_of(draws(page).first)
    with late(page, "decode"):
        page.get_by_role("button", name="Draw from the posterior").click()
        if then == "another digit":
            page.get_by_role("button", name="a real three").click()
        else:
            page.get_by_role("button", name="Draw from the posterior").click()
        wait_for(lambda: np.abs(pixels_of(draws(page).first) - before).max() > 0)
        after = pixels_of(draws(page).first)
    np.testing.assert_array_equal(pixels_of(draws(page).first), after)


def test_samples_are_downloaded_once_there_are_some_and_under_their_own_seed(page: Page) -> None:
    with late(page, "sample"):
        page.goto("/#view=samples")
        for name in ("Download PNG", "Download latents (.npy)"):
            expect(page.get_by_role("button", name=name)).to_be_disabled()
    ready(page)
    with page.expect_download() as download, late(page, "sample"):
        page.get_by_role("button", name="Download PNG").click()
        page.get_by_label("Seed").fill("99")
        page.get_by_label("Seed").press("Enter")
        expect(page.locator(".samples .grid")).to_have_attribute("data-seed", "99")
    assert download.value.suggested_filename == "mnist-conv-seed-7.png"


@pytest.mark.parametrize("name", ["nowhere", "constructor"])
def test_an_address_of_no_view_opens_the_first(page: Page, name: str) -> None:
    page.goto(f"/#view={name}")
    ready(page)
    expect(page).to_have_title("Draw · Reparam")
    page.goto(f"/#view=noise&noise.kind={name}")
    ready(page)
    expect(page.get_by_label("Gaussian")).to_be_checked()


def test_samples_are_the_services_own(page: Page, service: str) -> None:
    page.goto("/#view=samples")
    ready(page)
    tiles = page.locator(".samples .grid canvas")
    expect(tiles).to_have_count(36)
    query = {"count": 36, "seed": 7, "model": "mnist-conv"}
    npy = {"accept": "application/x-npy"}
    expected = np.load(
        io.BytesIO(httpx.get(f"{service}/v1/sample", params=query, headers=npy, trust_env=False).content)
    )
    assert np.abs(pixels_of(tiles.nth(5)) - expected[5]).max() < 0.01
    before = pixels_of(tiles.first)
    page.get_by_label("Seed").fill("8")
    page.get_by_label("Seed").press("Enter")
    eight = wait_for_change(tiles.first, before)
    set_slider(page.get_by_label("Temperature"), 0)
    wait_for_change(tiles.first, eight)
    np.testing.assert_array_equal(pixels_of(tiles.first), pixels_of(tiles.nth(20)))  # without noise all are one
    page.get_by_label("How many").select_option("16")
    expect(tiles).to_have_count(16)


def test_a_seed_is_asked_for_as_it_was_given(page: Page) -> None:
    page.goto("/#view=samples&seed=1234567890123456")
    ready(page)
    page.locator("details.request summary").click()
    expect(page.get_by_label("Seed")).to_have_value("1234567890123456")
    expect(page.get_by_label("The request as curl")).to_contain_text("seed=1234567890123456")
    page.get_by_label("Seed").fill("1e3")
    page.get_by_label("Seed").press("Enter")
    expect(page.get_by_label("Seed")).to_have_value("1000")
    expect(page.get_by_label("The request as curl")).to_contain_text(re.compile(r"seed=1000\b"))
    page.wait_for_function("() => location.hash.includes('seed=1000')")


@pytest.mark.parametrize("wrong", ["count=16.0", "seed=9007199254740992", "seed=1e3"])
def test_a_link_of_samples_that_cannot_be_asked_for_is_of_the_usual_ones(page: Page, wrong: str) -> None:
    page.goto(f"/#view=samples&{wrong}")
    ready(page)
    expect(page.locator(".samples .grid canvas")).to_have_count(36)
    expect(page.get_by_label("How many")).to_have_value("36")
    expect(page.get_by_label("Seed")).to_have_value("7")


def test_a_sample_opens_in_the_sliders(page: Page) -> None:
    page.goto("/#view=samples&seed=3")
    ready(page)
    third = page.get_by_role("button", name="Sample 3: open it in the sliders")
    sample = pixels_of(third.locator("canvas"))
    third.click()
    ready(page)
    expect(page.get_by_text("decoded from the sliders")).to_be_visible()
    assert np.abs(pixels_of(now(page)) - sample).max() < 0.02
    page.go_back()
    expect(page.locator(".samples .grid canvas")).to_have_count(36)


def test_samples_are_downloaded(page: Page) -> None:
    page.goto("/#view=samples&count=16&seed=5")
    ready(page)
    with page.expect_download() as picture:
        page.get_by_role("button", name="Download PNG").click()
    with Image.open(picture.value.path()) as sheet:
        assert sheet.size == (4 * (4 * 29 - 1), 4 * (4 * 29 - 1))
    with page.expect_download() as latents:
        page.get_by_role("button", name="Download latents").click()
    assert latents.value.suggested_filename == "mnist-conv-seed-5.npy"
    assert np.load(latents.value.path()).shape == (16, 40)


def test_a_model_is_chosen_and_says_what_it_cannot(page: Page) -> None:
    page.goto("/#view=samples")
    ready(page)
    page.get_by_label("Model").select_option("mnist-ae")
    expect(page.locator(".impossible")).to_contain_text("mnist-ae is a deterministic autoencoder")
    page.get_by_role("link", name="Posterior").click()
    expect(page.locator(".lead")).to_contain_text("it is deterministic")
    ready(page)
    expect(page.get_by_role("button", name="Draw from the prior")).to_be_hidden()
    before = pixels_of(now(page))
    set_slider(page.locator(".latent input").first, float(page.locator(".latent input").first.get_attribute("max")))
    wait_for_change(now(page), before)
    page.locator(".model summary").click()
    expect(page.locator(".facts")).to_contain_text("vanilla autoencoder")
    expect(page.locator(".facts")).to_contain_text("50 latents")
    expect(page.locator(".facts code")).to_have_text(re.compile(r"^[0-9a-f]{64}$"))
    page.get_by_label("Model").select_option("mnist-flow")
    expect(page.locator(".basis")).to_contain_text("normalizing flow")


def test_a_link_to_a_model_that_is_not_served_says_so(page: Page) -> None:
    page.goto("/#model=mnist-vanished")
    ready(page)
    said = page.get_by_text("mnist-vanished is not served here: mnist-conv answers instead.")
    expect(said).to_be_visible()
    page.get_by_label("Model", exact=True).select_option("mnist-mlp")
    expect(said).to_be_hidden()


def test_the_bound_of_grey_pixels_is_told_to_be_a_density(page: Page) -> None:
    page.goto("/#model=mnist-linear")
    terms = page.locator(".novelty .note")
    expect(terms).to_contain_text(re.compile(r"^ELBO .* = expected log p\(x\|z\) .* − KL from the prior .* density"))
    page.get_by_label("Model", exact=True).select_option("mnist-mlp")
    expect(terms).to_contain_text("ELBO −")
    expect(terms).not_to_contain_text("density")


def test_a_link_opens_the_page_as_it_was(new_page: NewPage) -> None:
    first = new_page()
    first.goto("/#model=mnist-mlp")
    ready(first)
    first.get_by_role("button", name="Clear").click()
    draw_seven(first)
    wait_for_drawing(first)
    first.get_by_role("link", name="Posterior").click()
    ready(first)
    before = pixels_of(now(first))
    set_slider(first.locator(".latent input").first, 2.5)
    moved = wait_for_change(now(first), before)
    first.wait_for_function("() => location.hash.includes('z=')")
    second = new_page()
    second.goto(first.url)
    ready(second)
    expect(second.get_by_label("Model")).to_have_value("mnist-mlp")
    expect(second.get_by_text("decoded from the sliders")).to_be_visible()
    assert np.abs(pixels_of(now(second)) - moved).max() < 0.02
    pad = "document.querySelector('canvas.pad').toDataURL()"
    assert second.evaluate(pad) == first.evaluate(pad)


def test_the_request_can_be_repeated(page: Page, service: str, tmp_path: Path) -> None:
    page.goto("/#view=posterior")
    ready(page)
    page.locator("details.request summary").click()
    expect(page.locator(".time")).to_have_text(re.compile(r"^\d+(\.\d)? ms$"))
    expect(page.get_by_label("The request as Python")).to_contain_text("httpx")
    curl = page.get_by_label("The request as curl").inner_text()
    python = page.get_by_label("The request as Python").inner_text()
    assert f"{service}/v1/decode?model=mnist-conv" in curl
    subprocess.run(["bash", "-c", curl], cwd=tmp_path, check=True)
    by_curl = (tmp_path / "digits.png").read_bytes()
    (tmp_path / "digits.png").unlink()
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True)
    assert (tmp_path / "digits.png").read_bytes() == by_curl
    with Image.open(tmp_path / "digits.png") as image:
        assert np.abs(np.asarray(image, float) / 255 - pixels_of(now(page))).max() < 0.01


def test_it_works_with_the_keyboard_alone(page: Page) -> None:
    page.goto("/")
    ready(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the view")).to_be_focused()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.innerText || document.activeElement.getAttribute('aria-label')")
        )
    assert {"Posterior", "Undo", "Clear", "a real five", "Others"} <= reached
    page.get_by_role("button", name="a real five").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="What the model draws of a real five")).to_be_visible()
    page.get_by_role("link", name="Posterior").focus()
    page.keyboard.press("Enter")
    ready(page)
    before = pixels_of(now(page))
    page.locator(".latent input").first.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    wait_for_change(now(page), before)


def test_it_fits_a_phone(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    for view in VIEWS:
        page.goto(f"/#view={view}")
        page.reload()
        ready(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
        expect(page.locator("#views a")).to_have_count(6)
        for link in page.locator("#views a").all():
            expect(link).to_be_in_viewport(ratio=1)
    page.goto("/#view=draw")
    page.reload()
    ready(page)
    page.get_by_role("button", name="Clear").tap()
    draw_seven_with_a_finger(page)
    wait_for_drawing(page)
    assert pixels_of(rebuilt(page)).max() > 0.8


def test_a_key_is_asked_for_once_and_kept_in_the_tab(new_page: NewPage, faults: Faults) -> None:
    faults.expect("status of 401")
    with running(REPARAM_API_KEYS=KEY, **SMALL) as (url, _):
        page = new_page(base_url=url)
        page.goto("/")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Key").fill("a-key-that-is-wrong")
        dialog.get_by_role("button", name="Use it").click()
        expect(dialog).to_contain_text("did not take that key")
        assert_accessible(page)
        dialog.get_by_label("Key").fill(KEY)
        dialog.get_by_label("Key").press("Enter")
        ready(page)
        expect(dialog).to_be_hidden()
        page.get_by_role("link", name="Samples").click()
        expect(page.locator(".samples .grid canvas")).to_have_count(36)
        page.locator("details.request summary").click()
        curl = page.get_by_label("The request as curl")
        expect(curl).to_contain_text("authorization: Bearer $REPARAM_KEY")
        assert KEY not in curl.inner_text() and KEY not in page.url
        page.reload()
        expect(page.locator(".samples .grid canvas")).to_have_count(36)
        expect(dialog).to_be_hidden()
        page.close()  # before the service ends


def test_only_a_whole_key_that_can_be_sent_is_taken(new_page: NewPage, faults: Faults) -> None:
    faults.expect("status of 401")
    with running(REPARAM_API_KEYS=KEY, **SMALL) as (url, _):
        page = new_page(base_url=url)
        sent = set()
        page.on("request", lambda request: sent.add(request.headers.get("authorization")))
        page.goto("/")
        dialog = page.get_by_role("dialog")
        key = dialog.get_by_label("Key")
        key.press_sequentially(KEY[:9])
        for _ in range(2):  # the browser lets a page prevent the first
            page.keyboard.press("Escape")
        expect(dialog).to_be_visible()
        expect(dialog).to_contain_text("It is kept in this tab")
        key.fill("the-ключ-of-a-visitor")
        dialog.get_by_role("button", name="Use it").click()
        page.wait_for_timeout(300)
        expect(dialog).to_be_visible()
        expect(page.locator("#trouble")).to_be_empty()
        assert sent == {None}
        key.fill(f"  {KEY} ")
        key.press("Enter")
        ready(page)
        expect(dialog).to_be_hidden()
        assert sent == {None, f"Bearer {KEY}"}
        page.close()


def test_it_recovers_from_a_service_that_stops_and_comes_back(new_page: NewPage, faults: Faults) -> None:
    faults.expect("ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)|status of 503")
    port = free_port()
    with running(port=port, **SMALL) as (url, _):
        page = new_page(base_url=url, viewport={"width": 390, "height": 500})
        page.goto("/")
        ready(page)
    before = pixels_of(rebuilt(page))
    page.get_by_role("button", name="a real three").click()
    rebuilt(page).scroll_into_view_if_needed()
    expect(page.get_by_text("The service cannot be reached.")).to_be_in_viewport(ratio=1)
    assert_accessible(page)
    with running(port=port, **SMALL):
        wait_for_change(rebuilt(page), before)
        expect(page.locator("#trouble")).to_be_empty()
        expect(page.get_by_role("img", name="What the model draws of a real three")).to_be_visible()
        page.close()


def test_it_waits_where_it_asked_too_often(new_page: NewPage, faults: Faults) -> None:
    faults.expect("status of 429")
    with running(REPARAM_RATE_LIMIT="6/second", **SMALL) as (url, _):
        page = new_page(base_url=url)
        page.goto("/#view=posterior")
        ready(page)
        page.locator(".latent input").first.evaluate(
            """async slider => {
                 for (let i = 0; i <= 40; i++) {
                   slider.value = -3 + i / 10;
                   slider.dispatchEvent(new Event("input", {bubbles: true}));
                   await new Promise((resolve) => setTimeout(resolve, 20));
                 }
               }"""
        )
        expect(page.get_by_text("Too many requests. Trying again")).to_be_visible()
        expect(page.locator("#trouble")).to_be_empty()
        expect(page.get_by_text("decoded from the sliders")).to_be_visible()
        page.close()


def test_what_waits_goes_on_as_soon_as_another_call_is_answered(page: Page, faults: Faults) -> None:
    faults.expect("status of 429")
    page.goto("/")
    ready(page)
    page.get_by_role("button", name="Clear").click()
    refuse(page, "reconstruct", times=1)
    page.get_by_role("button", name="a real three").click()
    expect(page.get_by_text("Too many requests. Trying again in 600 seconds")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    draw_seven(page)
    wait_for_drawing(page)
    expect(page.locator("#trouble")).to_be_empty()


def test_nothing_is_said_of_a_call_that_nobody_waits_for(page: Page, faults: Faults) -> None:
    faults.expect("status of 429")
    page.goto("/#model=mnist-ae")
    ready(page)
    refuse(page, "reconstruct", times=1)
    page.get_by_role("button", name="a real three").click()
    expect(page.get_by_text("Trying again in 600 seconds")).to_be_visible()
    page.get_by_role("link", name="Samples").click()
    expect(page.locator(".impossible")).to_be_visible()
    expect(page.locator("#trouble")).to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_it_is_accessible(new_page: NewPage, view: str, scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"/#view={view}")
    ready(page)
    for closed in page.locator("details").all():
        closed.locator("summary").first.click()
    assert_accessible(page)


def test_it_keeps_its_own_policy(page: Page) -> None:
    answer = page.goto("/")
    assert answer and "unsafe" not in answer.headers["content-security-policy"]
    ready(page)
    assert page.evaluate("[...document.querySelectorAll('[style]')].every((one) => one.style.length)")
