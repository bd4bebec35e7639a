"""The playground's views that compare digits: between two of them, on a map, and under noise."""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from models.data import load_mnist
from tests.e2e.browser import Faults, assert_accessible
from tests.e2e.conftest import NewPage
from tests.e2e.server import running, wait_for
from tests.e2e.test_playground import draw_seven, late, pixels_of, ready, set_slider, wait_for_drawing

pytestmark = pytest.mark.e2e

NORMAL = NormalDist()
ROUNDED = 0.6 / 255  # of a level of a canvas


@pytest.fixture(scope="module")
def offered(mnist: Path) -> np.ndarray:
    """The digits that the page offers, (500, 28, 28) in 0..1, in its order."""
    images, labels = load_mnist(mnist, "test")
    places = np.stack([np.flatnonzero(labels == label)[:50] for label in range(10)], 1)
    return (images[places.ravel()] / 255).astype(np.float32)


@pytest.fixture
def ask(service: str) -> Callable[..., dict[str, Any]]:
    """Asks the service itself: `ask("decode", latents=[[…]], model="mnist-2d")`."""

    def call(
        name: str, *, query: dict[str, Any] | None = None, model: str = "mnist-conv", **body: Any
    ) -> dict[str, Any]:
        answer = httpx.post(
            f"{service}/v1/{name}",
            params={"model": model, **(query or {})},
            json=body,
            headers={"accept": "application/json"},
            timeout=60,
            trust_env=False,
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    return call


def decoded(service: str, model: str, latents: list[list[float]]) -> np.ndarray:
    """(N, 28, 28) in 0..1."""
    answer = httpx.post(
        f"{service}/v1/decode",
        params={"model": model},
        json={"latents": latents},
        headers={"accept": "application/x-npy"},
        timeout=60,
        trust_env=False,
    )
    answer.raise_for_status()
    return np.frombuffer(answer.content[-len(latents) * 784 * 4 :], np.float32).reshape(-1, 28, 28)


def wait_until(canvas: Locator, expected: np.ndarray) -> None:
    """The canvas shows `expected` (28, 28), to the rounding of its levels."""
    wait_for(lambda: np.abs(pixels_of(canvas) - expected).max() < 2 / 255)


def in_address(page: Page, text: str) -> None:
    page.wait_for_function("text => decodeURIComponent(location.hash).includes(text)", arg=text)


# Between two digits


def strip(page: Page) -> Locator:
    return page.locator(".strip canvas")


def path_between(service: str, ends: np.ndarray, steps: int, path: str, model: str = "mnist-conv") -> np.ndarray:
    """What the service answers of two images (2, 28, 28): (steps, 28, 28)."""
    answer = httpx.post(
        f"{service}/v1/interpolate",
        params={"model": model, "steps": steps, "path": path},
        json={"pixels": ends.reshape(2, -1).tolist()},
        headers={"accept": "application/x-npy"},
        timeout=60,
        trust_env=False,
    )
    answer.raise_for_status()
    return np.frombuffer(answer.content[-steps * 784 * 4 :], np.float32).reshape(steps, 28, 28)


def test_two_digits_and_what_lies_between_them(page: Page, service: str, offered: np.ndarray) -> None:
    page.goto("/#view=between&digit=t7")
    ready(page)
    expect(strip(page)).to_have_count(16)
    straight = path_between(service, offered[[7, 2]], 16, "linear")
    for i in (0, 7, 15):
        wait_until(strip(page).nth(i), straight[i])
    assert page.locator(".strip").get_attribute("aria-label") == "From a real seven to a real two in 16 pictures"
    around = path_between(service, offered[[7, 2]], 16, "spherical")
    assert np.abs(straight[7] - around[7]).max() > 0.1
    page.get_by_label("Spherical").check()
    wait_until(strip(page).nth(7), around[7])
    wait_until(strip(page).nth(0), straight[0])  # the ends are the same
    set_slider(page.get_by_label("Steps"), 5)
    expect(strip(page)).to_have_count(5)
    section = page.get_by_role("region", name="B", exact=True)
    section.get_by_role("button", name="a real four").click()
    wait_until(strip(page).nth(4), path_between(service, offered[[7, 4]], 5, "spherical")[4])


def test_the_address_reopens_the_way(page: Page, new_page: NewPage) -> None:
    page.goto("/#view=between")
    ready(page)
    page.get_by_role("region", name="A", exact=True).get_by_role("button", name="a real zero").click()
    page.get_by_label("Spherical").check()
    set_slider(page.get_by_label("Steps"), 9)
    expect(strip(page)).to_have_count(9)
    set_slider(page.get_by_label("Position on the way"), 3)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    in_address(page, "between.at=3")
    again = new_page()
    again.goto(page.url)
    expect(strip(again)).to_have_count(9)
    expect(again.get_by_label("Spherical")).to_be_checked()
    expect(again.get_by_label("Position on the way")).to_have_value("3")
    wait_until(strip(again).nth(3), pixels_of(strip(page).nth(3)))
    wait_until(again.locator("canvas.hero"), pixels_of(strip(page).nth(3)))


def test_more_steps_leave_the_picture_that_was_chosen(page: Page) -> None:
    page.goto("/#view=between")
    ready(page)
    set_slider(page.get_by_label("Position on the way"), 3)
    in_address(page, "between.at=3")
    set_slider(page.get_by_label("Steps"), 9)
    expect(strip(page)).to_have_count(9)
    in_address(page, "between.steps=9")
    in_address(page, "between.at=3")
    expect(page.get_by_label("Position on the way")).to_have_value("3")


def test_without_both_ends_there_are_no_distances(page: Page) -> None:
    page.goto("/#view=between")
    ready(page)
    expect(page.locator("figure.norms")).to_be_visible()
    first = page.get_by_role("region", name="A", exact=True)
    first.get_by_role("button", name="Clear").click()
    expect(strip(page)).to_have_count(0)
    expect(page.locator("figure.norms")).to_be_hidden()
    first.get_by_role("button", name="a real four").click()
    expect(strip(page)).to_have_count(16)
    expect(page.locator("figure.norms")).to_be_visible()


def test_an_end_may_be_a_file_the_digit_drawn_before_or_a_sample(page: Page, service: str, offered: np.ndarray) -> None:
    page.goto("/#view=between&digit=t3")
    ready(page)
    second = page.get_by_role("region", name="B", exact=True)
    page.get_by_label("B: a picture file").set_input_files(Path("app/web/seven.png"))
    expect(page.locator(".strip")).to_have_attribute(
        "aria-label", "From a real three to the picture seven.png in 16 pictures"
    )
    second.get_by_role("button", name="A sample").click()
    expect(page.locator(".strip")).to_have_attribute(
        "aria-label", "From a real three to a digit that mnist-conv drew in 16 pictures"
    )
    second.get_by_role("button", name="Your digit").click()
    expect(page.locator(".strip")).to_have_attribute("aria-label", "From a real three to a real three in 16 pictures")
    wait_until(strip(page).nth(8), path_between(service, offered[[3, 3]], 16, "linear")[8])
    second.get_by_role("button", name="Clear").click()
    expect(strip(page)).to_have_count(0)


def test_an_end_that_comes_late_does_not_replace_the_one_that_was_taken_after_it(page: Page, new_page: NewPage) -> None:
    def take_a_four_for_the_second(page: Page) -> None:
        page.get_by_role("region", name="B", exact=True).get_by_role("button", name="a real four").click()
        in_address(page, "between.b=t4")

    to_the_four = "From a real seven to a real four in 16 pictures"
    page.goto("/#view=between")
    ready(page)
    with late(page, "sample"):
        page.get_by_role("region", name="B", exact=True).get_by_role("button", name="A sample").click()
        take_a_four_for_the_second(page)
        expect(page.locator(".strip")).to_have_attribute("aria-label", to_the_four)
    expect(page.locator(".strip")).to_have_attribute("aria-label", to_the_four)
    in_address(page, "between.b=t4")

    page.goto("/")
    ready(page)
    page.get_by_role("button", name="Clear").click()
    draw_seven(page)
    wait_for_drawing(page)
    drawing = page.evaluate("new URLSearchParams(location.hash.slice(1)).get('digit')")
    again = new_page()
    with late(again, "fit"):
        again.goto(f"/#view=between&between.b={drawing}")
        take_a_four_for_the_second(again)
        expect(again.locator(".strip")).to_have_attribute("aria-label", to_the_four)
    expect(again.locator(".strip")).to_have_attribute("aria-label", to_the_four)


def test_a_sample_that_comes_late_leaves_a_drawing_alone(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 1280, "height": 1400})
    page.goto("/#view=between")
    ready(page)
    end = page.get_by_role("region", name="A", exact=True)
    box = end.locator("canvas.pad").bounding_box()
    assert box
    with late(page, "fit"):
        with late(page, "sample"):
            end.get_by_role("button", name="A sample").click()
            page.mouse.move(box["x"] + 60, box["y"] + 60)
            page.mouse.down()
            page.mouse.move(box["x"] + 190, box["y"] + 62, steps=6)
        page.mouse.move(box["x"] + 110, box["y"] + 210, steps=6)
        page.mouse.up()
        expect(end.get_by_role("img", name=re.compile("^A: your drawing"))).to_be_visible()
    expect(page.locator(".strip")).to_have_attribute("aria-label", "From your drawing to a real two in 16 pictures")


def test_a_model_without_a_prior_says_why_it_goes_straight(page: Page) -> None:
    page.goto("/#view=between&model=mnist-ae&between.path=spherical")
    ready(page)
    expect(page.get_by_label("Spherical")).to_be_disabled()
    expect(page.get_by_label("Linear")).to_be_checked()
    expect(
        page.get_by_text("the codes of mnist-ae come from no noise in which a great circle could lie")
    ).to_be_visible()
    expect(page.get_by_role("button", name="A sample")).to_have_count(0)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_film_plays_by_itself_only_where_motion_is_wanted(new_page: NewPage, motion: str) -> None:
    page = new_page(reduced_motion=motion)
    page.goto("/#view=between")
    ready(page)
    position = page.get_by_label("Position on the way")
    if motion == "reduce":
        expect(page.get_by_role("button", name="Play")).to_be_visible()
        expect(position).to_have_value("0")
        page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('.player input').value > 2")
    page.get_by_role("button", name="Pause").click()
    stopped = position.input_value()
    wait_until(page.locator("canvas.hero"), pixels_of(strip(page).nth(int(stopped))))
    position.press("ArrowRight")
    expect(position).to_have_value(str(min(int(stopped) + 1, 15)))


# The map


def field(page: Page) -> Locator:
    return page.locator(".scatter .field")


def hover(page: Page, x: float, y: float, steps: int = 1) -> None:
    """The pointer to a place of the square, whose lower left corner is (0, 0)."""
    box = field(page).bounding_box()
    assert box
    page.mouse.move(box["x"] + 1 + x * (box["width"] - 2), box["y"] + 1 + (1 - y) * (box["height"] - 2), steps=steps)


def press(page: Page, x: float, y: float) -> None:
    """Choose a place of the square."""
    hover(page, x, y)
    page.mouse.down()
    page.mouse.up()


def place_in_address(page: Page) -> tuple[float, float]:
    text = page.evaluate("() => new URLSearchParams(location.hash.slice(1)).get('map.at') ?? ''")
    x, y = map(float, (text or "-1~-1").split("~"))
    return x, y


def outline(page: Page, sigmas: int) -> np.ndarray:
    """The points of the ellipse, (N, 2): places of the square."""
    path = page.locator(f".scatter path.sigma-{sigmas}").get_attribute("d")
    assert path
    points = np.array([point.split() for point in path.strip("MZ").split("L")], float)
    return np.stack((points[:, 0], 1 - points[:, 1]), 1)


def test_the_map_of_two_latents_decodes_under_the_pointer(page: Page, service: str) -> None:
    page.goto("/#view=map&model=mnist-2d")
    ready(page)
    expect(page.get_by_text("10,000 test digits.")).to_be_visible()
    expect(page.locator("img.behind")).to_be_visible()
    press(page, 0.8, 0.3)
    page.wait_for_function("() => location.hash.includes('map.at=')")
    x, y = place_in_address(page)
    assert abs(x - 0.8) < 0.01 and abs(y - 0.3) < 0.01
    z = [NORMAL.inv_cdf(x), NORMAL.inv_cdf(y)]
    wait_until(page.locator(".panel canvas.large"), decoded(service, "mnist-2d", [z])[0])
    expect(page.get_by_text(f"Decoded at z₀ = {z[0]:.2f}, z₁ = −{-z[1]:.2f}")).to_be_visible()
    # Which digits lie there the service knows.
    known = httpx.get(f"{service}/v1/models/mnist-2d/map", trust_env=False).json()
    near = np.argsort(np.square(np.array(known["mean"]) - z).sum(1))[:12]
    label, count = max(((d, sum(known["labels"][n] == d for n in near)) for d in range(10)), key=lambda pair: pair[1])
    assert f"{count} × {label}" in page.locator(".counts").inner_text()


COUNT_DECODES = """() => {
  window.decodes = {now: 0, most: 0, all: 0};
  const fetching = window.fetch;
  window.fetch = async (address, options) => {
    if (!String(address).includes("/v1/decode")) return fetching(address, options);
    decodes.all += 1;
    decodes.now += 1;
    decodes.most = Math.max(decodes.most, decodes.now);
    try {
      const answer = await fetching(address, options);
      const data = await answer.arrayBuffer();
      return new Response(data, {status: answer.status, headers: answer.headers});
    } finally {
      decodes.now -= 1;
    }
  };
}"""


def test_never_more_than_one_decode_is_in_flight_and_the_last_place_is_drawn(page: Page, service: str) -> None:
    page.goto("/#view=map&model=mnist-2d")
    ready(page)
    expect(page.get_by_text("10,000 test digits.")).to_be_visible()
    page.evaluate(COUNT_DECODES)
    hover(page, 0.1, 0.1)
    page.mouse.down()
    hover(page, 0.9, 0.2, steps=40)
    hover(page, 0.45, 0.75, steps=40)
    wait_for(lambda: np.abs(np.subtract(place_in_address(page), (0.45, 0.75))).max() < 0.005)
    x, y = place_in_address(page)
    last = decoded(service, "mnist-2d", [[NORMAL.inv_cdf(x), NORMAL.inv_cdf(y)]])[0]
    wait_until(page.locator(".panel canvas.large"), last)
    counted = page.evaluate("() => decodes")
    assert counted["most"] == 1 and 2 <= counted["all"] <= 81


def test_the_posterior_of_the_digit_is_an_ellipse(page: Page, ask: Callable[..., Any], offered: np.ndarray) -> None:
    page.goto("/#view=map&model=mnist-2d&digit=t3")
    ready(page)
    expect(page.locator(".scatter path.outline")).to_have_count(2)
    posterior = ask("encode", model="mnist-2d", pixels=[offered[3].ravel().tolist()])
    (mean,), sigma = np.array(posterior["mean"]), np.sqrt(posterior["variance"][0])
    for sigmas in (1, 2):
        points = outline(page, sigmas)
        for k in range(2):
            expected = [NORMAL.cdf(mean[k] - sigmas * sigma[k]), NORMAL.cdf(mean[k] + sigmas * sigma[k])]
            np.testing.assert_allclose([points[:, k].min(), points[:, k].max()], expected, atol=1e-3)
    # It is small on the whole map, and grows with the zoom around it.
    before = page.locator(".scatter path.sigma-2").bounding_box()
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    after = page.locator(".scatter path.sigma-2").bounding_box()
    assert before and after and after["width"] > 4 * before["width"]
    in_address(page, "map.zoom=8~")


def test_the_map_by_keyboard_and_again_from_its_address(page: Page, new_page: NewPage, service: str) -> None:
    page.goto("/#view=map&model=mnist-2d&map.at=0.5~0.5")
    ready(page)
    expect(page.get_by_text("10,000 test digits.")).to_be_visible()
    field(page).focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    in_address(page, "map.at=0.5300~0.4000")
    z = [NORMAL.inv_cdf(0.53), NORMAL.inv_cdf(0.4)]
    wait_until(page.locator(".panel canvas.large"), decoded(service, "mnist-2d", [z])[0])
    expect(page.locator(".panel [role=status]")).to_contain_text(
        f"Decoded at z₀ = {z[0]:.2f}, z₁ = −{-z[1]:.2f}. Nearest: "
    )
    page.get_by_role("button", name="Light up the digit 3").press("Enter")
    page.get_by_role("button", name="Light up the digit 8").press("Enter")
    page.get_by_label("decoded digits behind").press("Space")
    expect(page.locator("img.behind")).to_be_hidden()
    in_address(page, "map.behind=0")
    again = new_page()
    again.goto(page.url)
    ready(again)
    wait_until(again.locator(".panel canvas.large"), decoded(service, "mnist-2d", [z])[0])
    expect(again.get_by_role("button", name="Light up the digit 8")).to_have_attribute("aria-pressed", "true")
    expect(again.get_by_role("button", name="Light up the digit 5")).to_have_attribute("aria-pressed", "false")
    expect(again.locator("img.behind")).to_be_hidden()
    again.get_by_role("button", name="Back to your digit").click()
    expect(again.locator(".panel figcaption").first).to_contain_text("Your digit, decoded")
    page.get_by_role("button", name="Open in the sliders").click()
    expect(page.get_by_role("heading", name="Posterior", exact=True)).to_be_visible()
    for k in range(2):  # the sliders count as the map does
        row = page.locator(".latent", has=page.get_by_label(f"Latent {k}, its mean"))
        expect(row.locator(".value")).to_have_text(f"{z[k]:.2f}".replace("-", "−"))
    wait_until(page.locator(".posterior canvas.now"), decoded(service, "mnist-2d", [z])[0])


def test_a_place_opens_in_the_sliders_without_a_digit(page: Page, service: str) -> None:
    page.goto("/#view=map&model=mnist-2d&digit=none")
    expect(page.get_by_text("10,000 test digits.")).to_be_visible()
    press(page, 0.8, 0.3)
    page.wait_for_function("() => location.hash.includes('map.at=')")
    x, y = place_in_address(page)
    z = [NORMAL.inv_cdf(x), NORMAL.inv_cdf(y)]
    expected = decoded(service, "mnist-2d", [z])[0]
    wait_until(page.locator(".panel canvas.large"), expected)
    page.get_by_role("button", name="Open in the sliders").click()
    ready(page)
    expect(page.get_by_role("heading", name="Posterior", exact=True)).to_be_visible()
    expect(page.get_by_text("decoded from the sliders")).to_be_visible()
    for k in range(2):
        row = page.locator(".latent", has=page.get_by_label(f"Latent {k}, its mean"))
        expect(row.locator(".value")).to_have_text(f"{z[k]:.2f}".replace("-", "−"))
    wait_until(page.locator(".posterior canvas.now"), expected)
    in_address(page, "digit=p")


def test_a_place_opens_with_its_own_digit_before_that_is_drawn(page: Page, service: str) -> None:
    page.goto("/#view=map&model=mnist-2d&digit=none")
    expect(page.get_by_text("10,000 test digits.")).to_be_visible()
    press(page, 0.8, 0.3)
    expect(page.locator(".panel canvas.large")).to_be_visible()
    in_address(page, "map.at=")
    first = place_in_address(page)
    held: list[Route] = []  # what the place decodes to, which is called off when the view is left
    page.route("**/v1/decode?*", lambda route: route.continue_() if held else held.append(route))
    press(page, 0.2, 0.7)
    wait_for(lambda: place_in_address(page) != first)
    z = [NORMAL.inv_cdf(share) for share in place_in_address(page)]
    page.get_by_role("button", name="Open in the sliders").click()
    expect(page.get_by_role("heading", name="Posterior", exact=True)).to_be_visible()
    assert held
    expected = decoded(service, "mnist-2d", [z])[0]
    page.get_by_role("link", name="Draw", exact=True).click()
    wait_until(page.locator(".draw canvas.tile").first, expected)


def test_a_service_that_draws_few_digits_at_once_has_its_map_without_them(new_page: NewPage, faults: Faults) -> None:
    faults.expect("status of 422")
    with running(REPARAM_MODELS="mnist-2d", REPARAM_MAX_SAMPLES="50", REPARAM_ACCESS_LOG="false") as (url, _):
        page = new_page(url)
        page.goto("/#view=map&map.at=0.8~0.3")
        ready(page)
        expect(page.get_by_text("10,000 test digits.")).to_be_visible()
        expect(page.get_by_text("The 12 nearest test digits")).to_be_visible()
        drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
        assert page.locator(".scatter canvas").evaluate(drawn)
        expect(page.locator("img.behind")).to_be_hidden()
        expect(page.get_by_label("decoded digits behind")).to_be_hidden()
        expect(page.locator(".problem")).to_be_hidden()
        page.close()


@pytest.mark.parametrize("digit", ["t7", "t5"], ids=["at the right", "at the left"])
def test_the_name_of_the_digit_lies_on_the_map_of_a_phone(new_page: NewPage, digit: str) -> None:
    page = new_page(viewport={"width": 320, "height": 640})
    page.goto(f"/#view=map&digit={digit}")
    expect(page.locator("span.yours")).to_be_visible()
    name, field = page.locator("span.yours").bounding_box(), page.locator(".scatter .field").bounding_box()
    assert name and field
    assert field["x"] <= name["x"] and name["x"] + name["width"] <= field["x"] + field["width"]


def test_other_models_are_projected_and_told_so(page: Page, ask: Callable[..., Any], offered: np.ndarray) -> None:
    page.goto("/#view=map&model=mnist-mlp&digit=t3")
    ready(page)
    codes = np.array(ask("encode", model="mnist-mlp", pixels=offered.reshape(500, -1).tolist())["mean"])
    centred = codes - codes.mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    share = np.square(lengths[:2]).sum() / np.square(lengths).sum()
    expect(page.get_by_text(f"The plane keeps {share:.0%}".replace("%", " %"))).to_be_visible()
    expect(page.get_by_text("This is a projection (PCA)")).to_be_visible()
    # The digit's own neighbours are those in all latents.
    distances = np.sqrt(np.square(codes - codes[3]).sum(1))
    order = np.argsort(distances)[1:7]
    expect(page.locator(".neighbours figcaption")).to_have_text([f"{n % 10} {distances[n]:.1f}" for n in order])
    wait_until(page.locator(".neighbours canvas").first, offered[order[0]])
    # It stands among them where numpy puts it, up to the signs of the directions.
    flat = centred @ directions[:2].T
    flat *= np.sign(directions[:2][[0, 1], np.abs(directions[:2]).argmax(1)])
    middle, reach = (flat.max(0) + flat.min(0)) / 2, 1.08 * np.ptp(flat, axis=0).max() / 2
    place = (flat - middle + reach) / (2 * reach)
    np.testing.assert_allclose(outline(page, 1).mean(0), place[3], atol=0.01)
    # Over another digit: it and its neighbours.
    other = int(np.argmax(flat[:, 0]))
    hover(page, *place[other])
    expect(page.get_by_text(f"Nearest on the map: a {other % 10}")).to_be_visible()
    wait_until(page.locator(".near canvas").first, offered[other])
    expect(page.locator(".scatter circle.ring")).to_have_count(7)


def test_the_digit_on_the_map_follows_the_choice(page: Page) -> None:
    page.goto("/#view=map&model=mnist-2d&digit=t3&map.at=0.9~0.9")
    ready(page)
    expect(page.locator(".scatter path.outline")).to_have_count(2)
    before = outline(page, 1).mean(0)
    page.get_by_role("button", name="a real zero").click()
    expect(page.locator(".panel figcaption").first).to_contain_text("Your digit, decoded")
    assert np.abs(outline(page, 1).mean(0) - before).max() > 0.05
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".scatter path.outline")).to_have_count(0)
    expect(page.get_by_text("Draw a digit, take one, or move over the map.")).to_be_visible()


# Noise


def panel(page: Page, name: str) -> Locator:
    return page.locator(".panels figure").filter(has_text=name)


def told_error(page: Page, name: str) -> float:
    return float(panel(page, name).locator(".error").inner_text().removeprefix("squared error "))


@pytest.mark.parametrize(("kind", "least"), [("Gaussian", 0.05), ("Masking", 0.01)])
def test_noise_is_added_and_cleaned(page: Page, offered: np.ndarray, kind: str, least: float) -> None:
    page.goto("/#view=noise&digit=t7")
    ready(page)
    page.get_by_label(kind).check()
    set_slider(page.get_by_role("slider", name="Amount"), 0.6)
    in_address(page, "noise.amount=0.6")
    expect(page.locator(".field label .value")).to_have_text("σ = 0.60" if kind == "Gaussian" else "60 % of the pixels")
    page.wait_for_load_state("networkidle")
    clean = pixels_of(panel(page, "The digit").locator("canvas"))
    np.testing.assert_allclose(clean, offered[7], atol=ROUNDED)
    errors = {}
    for name in ("With noise", "Cleaned by mnist-dae", "Reconstructed by mnist-conv"):
        errors[name] = np.square(pixels_of(panel(page, name).locator("canvas")) - clean).mean()
        assert abs(errors[name] - told_error(page, name)) < 1e-3
    assert errors["With noise"] > least
    assert errors["Cleaned by mnist-dae"] < errors["With noise"] / 3
    assert errors["Cleaned by mnist-dae"] < errors["Reconstructed by mnist-conv"]
    if kind == "Gaussian":
        noise = pixels_of(panel(page, "With noise").locator("canvas"))[clean == 0]
        assert abs(np.mean(noise > 0) - 0.5) < 0.08  # the other half was clipped
    else:
        masked = pixels_of(panel(page, "With noise").locator("canvas"))
        assert ((masked == 0) | (np.abs(masked - clean) < ROUNDED)).all()
        assert abs(np.mean(masked[clean > 0] == 0) - 0.6) < 0.12


def test_noise_follows_the_slider_and_comes_again_from_its_seed(page: Page, new_page: NewPage) -> None:
    page.goto("/#view=noise&noise.amount=0")
    ready(page)
    expect(panel(page, "With noise")).to_contain_text("squared error 0.0000")
    amount = page.get_by_role("slider", name="Amount")
    amount.focus()
    for _ in range(30):
        amount.press("ArrowRight")
    expect(page.locator(".field label .value")).to_have_text("σ = 0.30")
    page.get_by_label("Seed").fill("77")
    in_address(page, "noise.seed=77")
    page.wait_for_load_state("networkidle")
    again = new_page()
    again.goto(page.url)
    ready(again)
    for name in ("With noise", "Cleaned by mnist-dae"):
        wait_until(panel(again, name).locator("canvas"), pixels_of(panel(page, name).locator("canvas")))
    before = pixels_of(panel(page, "With noise").locator("canvas"))
    page.get_by_role("button", name="Other noise").click()
    noisy = panel(page, "With noise").locator("canvas")
    wait_for(lambda: np.abs(pixels_of(noisy) - before).max() > 0.1)


def test_the_slider_stands_at_the_amount_that_is_told(page: Page) -> None:
    page.goto("/#view=noise&noise.amount=1")
    ready(page)
    amount, told = page.get_by_role("slider", name="Amount"), page.locator(".field label .value")
    page.get_by_label("Masking").check()
    expect(told).to_have_text("95 % of the pixels")
    expect(amount).to_have_value("0.95")
    page.get_by_label("Gaussian").check()
    expect(told).to_have_text("σ = 1.00")
    expect(amount).to_have_value("1")


def test_a_denoising_model_is_not_compared_with_itself(page: Page) -> None:
    page.goto("/#view=noise&model=mnist-dae")
    ready(page)
    expect(page.locator(".panels figure")).to_have_count(3)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".view").get_by_text("Draw a digit, or take one.")).to_be_visible()


def test_without_a_denoising_model_the_noise_says_so(new_page: NewPage) -> None:
    with running(REPARAM_MODELS="mnist-mlp") as (url, _):
        page = new_page(url)
        page.goto("/#view=noise")
        ready(page)
        expect(page.get_by_text("No denoising autoencoder is served here")).to_be_visible()
        expect(page.locator(".panels figure")).to_have_count(3)
        expect(panel(page, "Reconstructed by mnist-mlp")).to_contain_text("of the noise left")


# All three


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "address", ["view=between", "view=map&model=mnist-2d", "view=map&map.at=0.4~0.4", "view=noise"]
)
def test_views_are_accessible_and_fit_a_phone(new_page: NewPage, address: str, scheme: str) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
    page.goto(f"/#{address}")
    ready(page)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert_accessible(page)
    page.set_viewport_size({"width": 1280, "height": 900})
    assert_accessible(page)


@pytest.mark.parametrize(
    ("view", "path"), [("between", "/v1/interpolate"), ("map", "/v1/decode"), ("noise", "/v1/reconstruct")]
)
def test_every_view_shows_its_request(page: Page, view: str, path: str) -> None:
    page.goto(f"/#view={view}")
    ready(page)
    expect(page.locator("details.request summary code")).to_have_text(f"POST {path}")
    page.locator("details.request summary").click()
    expect(page.get_by_role("region", name="The request as curl")).to_contain_text(f"{path}?model=")
