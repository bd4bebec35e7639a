"""The Accept header, as RFC 9110 has it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from app.accept import choose
from app.errors import NotAcceptableError

OFFERED = ("image/png", "application/json", "application/x-npy")


def chosen(*headers: str) -> str:
    raw = [(b"accept", header.encode("latin-1")) for header in headers]
    return choose(Request({"type": "http", "headers": raw}), OFFERED)


@pytest.mark.parametrize(
    ("headers", "media"),
    [
        ([], "image/png"),
        ([""], "image/png"),
        ([" , ,"], "image/png"),
        (["*/*"], "image/png"),
        (["application/*"], "application/json"),
        (["APPLICATION/JSON"], "application/json"),
        (["text/html", "application/x-npy"], "application/x-npy"),
        (["image/png;q=0.1, application/json;q=0.2"], "application/json"),
        (["image/png;q=0.5, application/json;q=0.5"], "image/png"),
        # The most specific range counts, wherever it stands.
        (["*/*;q=1, image/png;q=0"], "application/json"),
        (["application/json;q=0, application/*;q=1"], "application/x-npy"),
        (["*/*;q=0.1, application/*;q=0.3, image/*;q=0.2"], "application/json"),
        (["image/png;q=0.1, image/png;q=0.9, application/json;q=0.5"], "image/png"),
        # JSON is UTF-8 without saying so; parameters that nothing has match nothing.
        (["application/json; charset=utf-8"], "application/json"),
        (['application/json;charset="UTF-8";q=0.3, image/png;q=0.2'], "application/json"),
        (["application/json;charset=utf-16, image/png;q=0.1"], "image/png"),
        (["application/json;profile=x, application/x-npy;q=0.1"], "application/x-npy"),
        (['text/plain;a="x, application/json;q=1", application/x-npy;q=0.1'], "application/x-npy"),
        (["application/json ; Q=0.5 , image/png ; q=0.4"], "application/json"),
        # A malformed weight rules its range out, and no other.
        (["image/png;q=high, application/json;q=0.1"], "application/json"),
        (["image/png;q=nan, application/json;q=0.1"], "application/json"),
        (["image/png;q=1.5, application/json;q=0.1"], "application/json"),
        (["image/png;q=-1, */*;q=0.1"], "image/png"),
        (["image/png;q=1e0, application/json;q=0.1"], "application/json"),
    ],
)
def test_the_best_is_chosen(headers: list[str], media: str) -> None:
    assert chosen(*headers) == media


@pytest.mark.parametrize(
    "header", ["text/html", "*/*;q=0", "image/png;q=0.0", "image/png;q=", "*/png", "image", "image/png;a=b", '"']
)
def test_what_nothing_matches_is_told_with_what_there_is(header: str) -> None:
    with pytest.raises(NotAcceptableError, match="expected one of image/png, application/json, application/x-npy"):
        chosen(header)


@given(st.text(st.characters(max_codepoint=255), max_size=200) | st.text('image/png;q=0.*, "\\', max_size=60))
def test_any_header_is_an_answer_or_a_refusal(header: str) -> None:
    try:
        assert chosen(header) in OFFERED
    except NotAcceptableError as error:
        assert "\n" not in str(error)


def test_a_hostile_header_takes_no_time() -> None:
    for unit in (",", ";", '"', '"\\', "a;q=0,", "*/*;", '",'):
        with suppress(NotAcceptableError):
            chosen(unit * (60_000 // len(unit)))
