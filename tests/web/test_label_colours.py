"""The ten colours of the map's labels can be told apart, and from the page, also without one of the three cones."""

import re
from pathlib import Path

import numpy as np
import pytest

WEB = Path(__file__).resolve().parent.parent.parent / "app" / "web"
# Of linear sRGB: Machado, Oliveira & Fernandes 2009, at full severity.
SIGHT = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
# To OKLab, whose distances are near to what is seen: Ottosson 2020.
CONES = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip  # noqa: E501
OKLAB = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]]  # fmt: skip  # noqa: E501


def linear(colours: list[str]) -> np.ndarray:
    """#rrggbb -> (N, 3) of linear sRGB."""
    levels = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def luminance(colours: list[str]) -> np.ndarray:
    return linear(colours) @ [0.2126, 0.7152, 0.0722]


def colours_of(name: str, scheme: int) -> list[str]:
    """What a custom property is in the light scheme (0) or in the dark one (1)."""
    text = (WEB / "style.css").read_text() + (WEB / "views" / "map.css").read_text()
    return [re.findall(rf"{name}: (#[0-9a-f]{{6}});", text)[scheme]]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_labels_are_told_apart_by_every_sight(scheme: int) -> None:
    labels = [colours_of(f"--label-{label}", scheme)[0] for label in range(10)]
    for sight, matrix in SIGHT.items():
        seen = np.clip(linear(labels) @ np.transpose(matrix), 0, 1)
        lab = np.cbrt(seen @ np.transpose(CONES)) @ np.transpose(OKLAB)
        apart = np.linalg.norm(lab[:, None] - lab, axis=-1) + 9 * np.eye(10)
        assert apart.min() > 0.08, (sight, *np.unravel_index(apart.argmin(), apart.shape))  # matplotlib's ten: 0.007
    light, dark = luminance(labels), luminance(colours_of("--card", scheme))
    contrast = (np.maximum(light, dark) + 0.05) / (np.minimum(light, dark) + 0.05)
    assert contrast.min() >= 3  # WCAG 1.4.11
