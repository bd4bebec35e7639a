import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from app.images import Picture, fit_image
from tests.images.pages import drawn

NEAREST = Image.Resampling.NEAREST


def picture(levels):
    """(H, W) float in [0, 1], as a colour picture would come, so that it is never taken as it is."""
    return Picture(np.asarray(levels, np.float32), grey=False)


def test_real_digits_cropped_and_centred_again_stay_where_they_are(digits):
    same = [np.array_equal(fit_image(picture(digit / np.float32(255))), digit / np.float32(255)) for digit in digits]
    assert np.mean(same) >= 0.999


def test_as_it_is_only_when_grey_and_of_the_size():
    levels = np.random.default_rng(0).random((28, 28), np.float32)
    assert fit_image(Picture(levels)) is levels
    assert np.array_equal(fit_image(Picture(levels), polarity="light-on-dark"), levels)
    assert np.array_equal(fit_image(Picture(levels), polarity="dark-on-light"), 1 - levels)
    assert not np.array_equal(fit_image(Picture(levels, grey=False)), levels)
    assert not np.array_equal(fit_image(Picture(levels), fit="digit"), levels)
    assert np.array_equal(fit_image(Picture(np.pad(levels, 2)), size=32), np.pad(levels, 2))


@given(arrays(np.float32, (28, 28), elements=st.floats(0, 1, width=32)))
def test_a_dark_picture_used_as_it_is_is_not_inverted_by_auto(levels):
    assert np.array_equal(fit_image(Picture(levels)), levels)


def test_stretch_takes_the_whole_picture(digits):
    page = 1 - np.asarray(Image.fromarray(digits[0]).resize((84, 56), NEAREST)) / 255
    fitted = fit_image(picture(page), fit="stretch")
    assert fitted == pytest.approx(digits[0] / 255, abs=1e-6)
    as_told = fit_image(picture(page), fit="stretch", polarity="light-on-dark")
    assert as_told == pytest.approx(1 - digits[0] / 255, abs=1e-6)


def test_a_stated_polarity_overrules_the_border():
    # A stroke cropped so tightly that most of the border is ink.
    page = np.ones((20, 8), np.float32)
    page[8:12, 3:] = 0
    dark, light = (fit_image(picture(page), polarity=name) for name in ("dark-on-light", "light-on-dark"))
    spans = [np.count_nonzero(fitted.max(axis=0) > 0.5) for fitted in (dark, light)]
    assert spans[0] > 16 and spans[1] == 8  # a stroke across, or the rest of the page, taller than wide
    assert light == pytest.approx(fit_image(picture(1 - page), polarity="dark-on-light"), abs=1e-5)


@pytest.mark.parametrize("polarity", ["auto", "stated"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("scale", "resampling"), [(4, NEAREST), (2, Image.Resampling.BICUBIC), (10, NEAREST)])
def test_a_digit_cropped_to_its_ink_is_found(digits, polarity, dark, scale, resampling):
    stated = {"auto": "auto", "stated": "dark-on-light" if dark else "light-on-dark"}[polarity]
    lost = 0
    for digit in digits[:200]:
        drawing = Image.fromarray(digit)
        drawing = drawing.crop(drawing.getbbox())
        page = np.asarray(drawing.resize((scale * drawing.width, scale * drawing.height), resampling)) / 255
        fitted = fit_image(picture(1 - page if dark else page), polarity=stated)
        lost += np.mean((fitted - digit / 255) ** 2) > 0.05
    assert lost <= (2 if polarity == "auto" else 1)  # strokes that fill their box are told from paper by no border


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("noise", [0.003, 0.01, 0.03, 0.06])
def test_noise_that_white_or_black_cuts_off_is_noise(digits, noise, dark):
    for i, digit in enumerate(digits[:10]):
        page = 0.9 * drawn(digit, np.random.default_rng(i), scale=12)
        page = np.clip(page + noise * np.random.default_rng(i).standard_normal(page.shape), 0, 1)
        assert np.mean((fit_image(picture(1 - page if dark else page)) - digit / 255) ** 2) < 0.005


@given(st.integers(0, 999), st.tuples(*[st.integers(0, 40)] * 4), st.sampled_from([0.0, 0.1, 0.25]), st.booleans())
def test_more_paper_around_a_digit_changes_nothing(digits, index, margins, paper, dark):
    page = paper + (1 - paper) * np.pad(digits[index].repeat(3, 0).repeat(3, 1), 9) / 255
    top, bottom, left, right = margins
    wider = np.pad(page, ((top, bottom), (left, right)), constant_values=paper)
    one, other = (fit_image(picture(1 - p if dark else p)) for p in (page, wider))
    assert np.abs(one - other).max() < 1e-3


@given(st.integers(0, 999), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.25]))
def test_a_negative_gives_the_same_digit(digits, index, scale, paper):
    page = paper + (1 - paper) * digits[index].repeat(scale, 0).repeat(scale, 1) / 255
    # Ink of 0.97 and more counts as full, and grey paper tells the two apart in how nearly full a digit's 0.99 is.
    assert np.abs(fit_image(picture(page)) - fit_image(picture(1 - page))).max() < 0.03


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (1, 1000), (300, 200), (3000, 10)])
@pytest.mark.parametrize("level", [0, 0.3, 1])
def test_a_blank_page_gives_zeros(shape, level):
    assert not fit_image(picture(np.full(shape, level))).any()


def test_a_blank_photograph_gives_zeros():
    noise = np.random.default_rng(0).normal(0.8, 0.02, (400, 300))
    assert not fit_image(picture(noise)).any()


@given(
    arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.floats(0, 1, width=32)),
    st.sampled_from(["digit", "stretch", None]),
    st.sampled_from(["auto", "light-on-dark", "dark-on-light"]),
)
def test_any_picture_gives_an_input(pixels, fit, polarity):
    fitted = fit_image(Picture(pixels), fit, polarity)
    assert fitted.shape == (28, 28) and fitted.dtype == np.float32
    assert fitted.min() >= 0 and fitted.max() <= 1


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (2, 900), (5000, 40)])
def test_long_strokes_span_the_box(shape):
    page = np.pad(np.ones(shape), 30)
    fitted = fit_image(picture(page))
    assert fitted.max() == pytest.approx(1)
    assert max(np.count_nonzero(fitted.any(axis=axis)) for axis in (0, 1)) in range(19, 23)


def test_a_thin_pen_is_as_bright_as_a_thick_one():
    page = np.ones((600, 600))
    page[100:500, 299:301] = 0
    assert fit_image(picture(page)).max() == pytest.approx(1)


def test_a_tiny_digit_is_enlarged(digits):
    small = np.asarray(Image.fromarray(digits[0]).resize((14, 14), Image.Resampling.BOX)) / 255
    fitted = fit_image(picture(np.pad(small, 10)))
    assert np.mean((fitted - digits[0] / 255) ** 2) < 0.03


def test_a_page_beyond_the_working_size_loses_little(digits):
    page = 1 - np.pad(drawn(digits[0], np.random.default_rng(0), scale=20), 900)
    assert np.mean((fit_image(picture(page)) - digits[0] / 255) ** 2) < 0.005


@pytest.mark.parametrize("shape", [(40, 2000), (5000, 40), (3000, 3000)])
def test_a_small_digit_on_a_large_page_comes_back_as_from_a_small_page(digits, shape):
    for place, digit in enumerate(digits[:5] / np.float32(255)):
        page = np.ones(shape, np.float32)
        top, left = ((side - 28) * (place + 1) // 7 for side in shape)
        page[top : top + 28, left : left + 28] -= digit
        small = page[max(0, top - 30) : top + 58, max(0, left - 30) : left + 58]
        assert fit_image(picture(page)) == pytest.approx(fit_image(picture(small)), abs=1e-6)
    noisy = page + np.random.default_rng(0).normal(0, 0.02, shape).astype(np.float32)
    found, same = (fit_image(picture(np.clip(page, 0, 1))) for page in (0.9 * noisy, page))
    assert np.mean((found - same) ** 2) < 0.003  # as for the photographs above


def test_other_sizes(digits):
    fitted = fit_image(picture(np.pad(digits[0].repeat(4, 0).repeat(4, 1) / 255, 8)), size=56, box=40)
    assert fitted.shape == (56, 56)
    assert np.count_nonzero(fitted.any(axis=1)) == 40


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 400), st.floats(0, 0.5), st.floats(0, 1))
def test_whatever_is_on_a_page_a_model_can_take_what_is_made_of_it(seed, rows, columns, noise, paper):
    levels = np.random.default_rng(seed).normal(paper, noise, (rows, columns)).clip(0, 1)
    found = fit_image(picture(levels))
    assert found.shape == (28, 28) and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1  # NaN is neither


@pytest.mark.parametrize("seed", [13, 25, 99])
def test_noise_that_looked_like_ink_is_an_empty_page(seed):
    page = np.random.default_rng(seed).normal(0.5, 0.1, (50, 1100)).clip(0, 1)
    assert not fit_image(picture(page)).any()
