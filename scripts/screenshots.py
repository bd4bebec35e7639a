"""Take docs/images/playground-*.png: the playground on a service with the shipped models (`make screenshots`).

Needs Debian's Chromium. The files are small: a palette holds what a page of few colours has.
"""

from base64 import urlsafe_b64encode
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser, expect

from tests.e2e.browser import ACTION_MS, chromium
from tests.e2e.server import running

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
COLOURS = 256


class Shot(NamedTuple):
    """A picture: what the address says, and on what it is looked at."""

    name: str
    state: str
    width: int = 1280
    height: int = 800
    scheme: str = "light"


# A seven drawn by hand, with a bar, small and in a corner; of a sheet of 256.
STROKES = (
    ((38, 52), (60, 46), (100, 48), (140, 44), (152, 50), (140, 80), (118, 118), (102, 152), (94, 186)),
    ((84, 112), (110, 110), (142, 106)),
)


def source(strokes: tuple[tuple[tuple[int, int], ...], ...]) -> str:
    """What the address says of a drawing (app/web/digit.js)."""
    packed = b"".join(
        len(points).to_bytes(2, "big") + bytes(value for point in points for value in point) for points in strokes
    )
    return "s" + urlsafe_b64encode(packed).decode().rstrip("=")


SHOTS = (
    Shot("draw", f"view=draw&digit={source(STROKES)}"),
    Shot("posterior", "view=posterior", height=930),
    Shot("between", "view=between&between.at=8", height=930),
    Shot("map", "view=map&model=mnist-2d&digit=t12", height=930),
    Shot("noise", "view=noise&digit=t12", height=930),
    Shot("samples", "view=samples&model=mnist-flow&count=64"),
    Shot("dark", "view=posterior&model=mnist-flow&digit=t8", height=930, scheme="dark"),
    Shot("phone", "view=draw&digit=t4", width=390, height=844),
)


def main() -> None:
    with running(REPARAM_ACCESS_LOG="false") as (url, _), chromium() as browser:
        for shot in SHOTS:
            _save(browser, url, shot)


def _save(browser: Browser, url: str, shot: Shot) -> None:
    phone = shot.width < 500
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.scheme,
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
        reduced_motion="reduce",
    )
    context.set_default_timeout(ACTION_MS)
    page = context.new_page()
    page.goto(f"{url}/#{shot.state}")
    expect(page.locator("details.request")).to_be_visible()
    page.reload()  # a picture tells how long its request took, which is not to be the first of its kind
    expect(page.locator("details.request")).to_be_visible()
    page.wait_for_load_state("networkidle")
    to = IMAGES / f"playground-{shot.name}.png"
    page.screenshot(path=to)
    context.close()
    with Image.open(to) as image:
        palette = image.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        palette.save(to, optimize=True)
    print(f"{to.name}: {to.stat().st_size / 1024:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main()
