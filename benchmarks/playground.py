"""How long a person waits for the playground, in a browser on this machine: `python -m benchmarks.playground`.

From first paint to the first digit decoded, on a cold cache; and from a slider's move to the frame in which the picture
that belongs to it is painted, on mnist-conv.
"""

import statistics

from playwright.sync_api import Browser, expect

from tests.e2e.browser import chromium
from tests.e2e.server import running

LOADS = 15
MOVES = 100

# When the canvas of the reconstruction has got its pixels, and when the page was first painted, in ms since navigation.
FIRST_DIGIT = """() => new Promise((resolve) => {
  const look = () => {
    const canvas = document.querySelectorAll(".draw canvas.tile")[1];
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    if (canvas?.dataset.of && paint) resolve({paint: paint.startTime, digit: performance.now()});
    else requestAnimationFrame(look);
  };
  look();
})"""
# One move after the other, each until its picture is in the canvas and the next frame has begun.
MOVE = """async ([slider, canvas, moves]) => {
  const times = [];
  const pixels = () => canvas.getContext("2d").getImageData(0, 0, 28, 28).data.join();
  for (let i = 0; i < moves; i++) {
    const before = pixels();
    const began = performance.now();
    slider.value = -3.9 + (7.8 * ((i * 37) % moves)) / moves;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    while (pixels() === before) await new Promise((resolve) => setTimeout(resolve));
    await new Promise((resolve) => requestAnimationFrame(resolve));
    times.push(performance.now() - began);
  }
  return times;
}"""


def main() -> None:
    with running(REPARAM_ACCESS_LOG="false") as (url, _), chromium() as browser:
        loads = [_load(browser, url) for _ in range(LOADS)]
        moves = _moves(browser, url)
    after = [digit - paint for paint, digit in loads]
    print(f"navigation to first paint: {_told([paint for paint, _ in loads])} of {LOADS} loads")
    print(f"first paint to first digit decoded: {_told(after)}")
    print(f"slider to picture, mnist-conv: {_told(moves)} of {MOVES} moves")


def _load(browser: Browser, url: str) -> tuple[float, float]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url, wait_until="commit")
    found = page.evaluate(FIRST_DIGIT)
    context.close()
    return found["paint"], found["digit"]


def _moves(browser: Browser, url: str) -> list[float]:
    page = browser.new_page()
    page.goto(f"{url}/#view=posterior&model=mnist-conv")
    expect(page.locator("details.request")).to_be_visible()
    page.wait_for_load_state("networkidle")
    handles = [page.locator(".latent input").first.element_handle(), page.locator("canvas.now").element_handle(), MOVES]
    found: list[float] = page.evaluate(MOVE, handles)
    return found


def _told(times: list[float]) -> str:
    ordered = sorted(times)
    return (
        f"{statistics.median(ordered):.0f} ms at the median, {ordered[round(0.95 * (len(ordered) - 1))]:.0f} ms at "
        f"the 95th percentile, {ordered[-1]:.0f} ms at most"
    )


if __name__ == "__main__":
    main()
