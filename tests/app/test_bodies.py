"""Request bodies in every form, sound and hostile: one array or one problem, and never an error of ours."""

import base64
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from anyio import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save
from starlette.requests import Request
from starlette.testclient import TestClient

from app.bodies import ENDS_IN, IMAGE_TYPES, IMAGES_IN, LATENTS_IN
from app.errors import BodyTooLargeError, CodingError, MalformedError
from app.json_bodies import load_object
from app.main import create_app
from app.multipart import form_files
from app.settings import Settings
from app.streams import Buffer, read_body, read_buffer
from app.tensors import NPY, SAFETENSORS, as_images, read_npy
from models.errors import ReparamError
from tests.app.problems import assert_problem
from tests.app.test_tensors import npy

JSON = {"accept": "application/json"}


@pytest.fixture(scope="module")
def roomy() -> Iterator[TestClient]:
    """A service with the limits that it has if nothing is set."""
    with TestClient(create_app(Settings(models="mnist-mlp"))) as client:
        yield client


def post(client: TestClient, path: str, body: bytes, media: str, **headers: str) -> Any:
    return client.post(path, content=body, headers={"content-type": media, **headers})


def form(*files: bytes, boundary: bytes = b"b") -> tuple[bytes, str]:
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n%b\r\n' % (boundary, file)
        for file in files
    ]
    return b"".join(parts) + b"--%b--\r\n" % boundary, f"multipart/form-data; boundary={boundary.decode()}"


def test_arrays_are_what_pictures_are(client: TestClient, digits: np.ndarray) -> None:
    exact = digits[:3].astype(np.float32) / np.float32(255)
    expected = client.post("/v1/encode", json={"pixels": exact.tolist()}).json()
    for array in (digits[:3], exact, exact.reshape(3, 1, 28, 28), exact.reshape(3, 784), np.asfortranarray(exact)):
        assert post(client, "/v1/encode", npy(array), NPY).json() == expected
        body = save({"images": np.ascontiguousarray(array)})
        assert post(client, "/v1/encode", body, SAFETENSORS).json() == expected
    for path in ("score", "reconstruct"):
        pixels = client.post(f"/v1/{path}", json={"pixels": exact.tolist()}, headers=JSON).json()
        assert post(client, f"/v1/{path}", npy(exact), NPY, **JSON).json() == pixels


def test_latents_are_the_same_in_every_form(client: TestClient) -> None:
    z = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    expected = client.post("/v1/decode", json={"latents": z.tolist()}, headers=JSON).json()
    for array in (z, z.astype(np.float64), z.astype(">f4")):
        assert post(client, "/v1/decode", npy(array), NPY, **JSON).json() == expected
    assert post(client, "/v1/decode", save({"latents": z}), SAFETENSORS, **JSON).json() == expected


def test_interpolation_tells_images_from_latents(client: TestClient, digits: np.ndarray) -> None:
    images = digits[:2].astype(np.float32) / np.float32(255)
    of_images = client.post("/v1/interpolate", json={"pixels": images.tolist()}, headers=JSON).json()
    latents = np.array([of_images["latents"][0], of_images["latents"][-1]], np.float32)
    bodies = [
        (npy(images), NPY),
        (npy(images.reshape(2, 784)), NPY),
        (npy(latents), NPY),
        (save({"images": images}), SAFETENSORS),
        (save({"latents": latents}), SAFETENSORS),
    ]
    for body, media in bodies:
        assert post(client, "/v1/interpolate", body, media, **JSON).json() == of_images


ONE = np.zeros((1, 784), np.float32)


@pytest.mark.parametrize(
    ("path", "body", "media", "name", "words"),
    [
        ("encode", npy(np.zeros((9, 784), np.uint8)), NPY, "limit-exceeded", "REPARAM_MAX_IMAGES), found 9"),
        ("encode", npy(np.zeros((0, 784), np.uint8)), NPY, "malformed-request", "at least one"),
        ("encode", npy(np.zeros((1, 783), np.uint8)), NPY, "invalid-input", "(N, 784), found (1, 783)"),
        ("encode", npy(ONE + np.nan), NPY, "invalid-input", "found nan to nan"),
        ("encode", npy(ONE > 0), NPY, "invalid-input", "found bool"),
        ("encode", npy(ONE)[:-1], NPY, "malformed-request", "expected 3136 bytes"),
        ("encode", save({"latents": ONE}), SAFETENSORS, "malformed-request", "expected one tensor, images"),
        ("encode", save({"images": ONE, "more": ONE}), SAFETENSORS, "malformed-request", "found images, more"),
        ("decode", npy(np.zeros((9, 50), np.float32)), NPY, "limit-exceeded", "REPARAM_MAX_LATENTS), found 9"),
        ("decode", npy(np.zeros((1, 49), np.float32)), NPY, "invalid-input", "(1, 49); mnist-mlp has 50 latents"),
        ("decode", npy(np.full((1, 50), np.inf, np.float32)), NPY, "invalid-input", "finite"),
        ("decode", npy(np.float32(1)), NPY, "invalid-input", "(N, 50), found (); mnist-mlp"),
        ("encode", npy(np.uint8(1)), NPY, "invalid-input", "(N, 784), found ()"),
        ("interpolate", npy(np.float32(1)), NPY, "malformed-request", "exactly 2"),
        ("interpolate", npy(np.zeros((3, 50), np.float32)), NPY, "malformed-request", "exactly 2"),
        ("interpolate", npy(np.zeros((2, 51), np.float32)), NPY, "invalid-input", "images: expected shape"),
        ("interpolate", npy(np.zeros((2, 51), np.float32)), NPY, "invalid-input", "(2, 51); mnist-mlp has 50 latents"),
        ("interpolate", save({"pixels": ONE}), SAFETENSORS, "malformed-request", "images or latents"),
    ],
)
def test_arrays_that_do_not_fit_are_problems(
    client: TestClient, path: str, body: bytes, media: str, name: str, words: str
) -> None:
    assert words in assert_problem(post(client, f"/v1/{path}", body, media), 422, name)["detail"]


@pytest.mark.parametrize(("path", "taken"), [("encode", IMAGES_IN), ("decode", LATENTS_IN), ("interpolate", ENDS_IN)])
def test_another_type_is_told_with_what_is_taken(client: TestClient, path: str, taken: tuple[str, ...]) -> None:
    answer = post(client, f"/v1/{path}", b"x", "application/pdf")
    detail = assert_problem(answer, 415, "unsupported-media-type")["detail"]
    assert answer.headers["accept"] == ", ".join(taken) and all(media in detail for media in taken)


def test_what_nobody_accepts_is_told_before_the_body_is_read(client: TestClient) -> None:
    for path in ("encode", "score", "decode", "reconstruct", "interpolate"):
        # Over the limit: whoever looks at it first says so.
        answer = post(client, f"/v1/{path}", bytes(200_001), "image/png", accept="text/html")
        assert_problem(answer, 406, "not-acceptable")


def test_a_compressed_body_is_the_body(client: TestClient, seven: bytes, digits: np.ndarray) -> None:
    form_body, form_type = form(seven)
    for body, media in [(seven, "image/png"), (npy(digits[:4]), NPY), (form_body, form_type)]:
        plain = post(client, "/v1/encode", body, media).json()
        for coding in ("gzip", "x-gzip", "GZIP", "identity, gzip"):
            zipped = post(client, "/v1/encode", gzip.compress(body), media, **{"content-encoding": coding})
            assert zipped.json() == plain
        deflated = post(client, "/v1/encode", zlib.compress(body), media, **{"content-encoding": "deflate"})
        assert deflated.json() == plain
        assert post(client, "/v1/encode", body, media, **{"content-encoding": "identity"}).json() == plain


WHOLE = gzip.compress(b'{"latents": [[0]]}', mtime=0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "cut short"),
        (WHOLE[:-1], "cut short"),
        (WHOLE[:10], "cut short"),
        (WHOLE + b"x", "after its end"),
        (WHOLE + WHOLE, "after its end"),
        (b"\0" * 40, "not gzip"),
        (zlib.compress(b"{}"), "not gzip"),
        (WHOLE[:-8] + b"\0" + WHOLE[-7:], "damaged"),
        (WHOLE[:12] + b"\xff\xff\xff" + WHOLE[15:], "damaged"),
    ],
)
def test_a_damaged_gzip_is_malformed(client: TestClient, body: bytes, words: str) -> None:
    answer = post(client, "/v1/decode", body, "application/json", **{"content-encoding": "gzip"})
    assert words in assert_problem(answer, 422, "malformed-request")["detail"]


@pytest.mark.parametrize("coding", ["br", "gzip, deflate", "gzip, gzip", "zstd, gzip", "*"])
def test_another_coding_is_told_with_what_is_taken(client: TestClient, coding: str) -> None:
    answer = post(client, "/v1/decode", WHOLE, "application/json", **{"content-encoding": coding})
    assert coding in assert_problem(answer, 415, "unsupported-coding")["detail"]
    assert answer.headers["accept-encoding"] == "gzip, x-gzip, deflate, identity"


def test_a_bomb_is_refused_at_the_limit(client: TestClient) -> None:
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < 200_000
    tracemalloc.start()
    answer = post(client, "/v1/encode", bomb, "image/png", **{"content-encoding": "gzip"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    detail = assert_problem(answer, 413, "body-too-large")["detail"]
    assert "200000 bytes (max_body_bytes" in detail and "when expanded" in detail
    assert peak < 3_000_000


def test_what_bodies_expand_to_counts_as_in_hand() -> None:
    held: list[int] = []
    coded = {"content-encoding": "gzip"}
    receive_body([gzip.compress(bytes(3_000_000))], coded, Settings(models="mnist-mlp"), hold=held.append)
    assert sum(held) == 3_000_000 and max(held) <= 2**16  # before there is more


def test_json_has_a_limit_of_its_own() -> None:
    settings = Settings(models="mnist-mlp", max_json_bytes=1000, max_body_bytes=5000)
    for sent, headers, words in [
        ([bytes(1001)], {}, "1000 bytes (max_json_bytes, set by REPARAM_MAX_JSON_BYTES), found more"),
        ([bytes(700)] * 2, {}, "found more"),
        ([b""], {"content-length": "1001"}, "a Content-Length of 1001"),
        ([b""], {"content-length": "9" * 5000}, "a Content-Length of 999"),
        ([gzip.compress(bytes(1001))], {"content-encoding": "gzip"}, "more when expanded"),
    ]:
        with pytest.raises(ReparamError) as caught:
            receive_body(sent, headers, settings, "max_json_bytes")
        assert words in str(caught.value)
    assert receive_body([bytes(700)] * 2, {}, settings) == bytes(1400)


def receive_body(
    chunks: list[bytes],
    headers: dict[str, str],
    settings: Settings,
    *limit: Any,
    read: Any = read_body,
    hold: Callable[[int], None] = lambda _: None,
) -> Buffer:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b""})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "headers": raw, "state": {"hold": hold}}
    found = []

    async def main() -> None:  # whose result is none: the event loop would make text of the body
        found.append(await read(Request(scope, receive), settings, *limit))

    run(main)
    return found[0]


@pytest.mark.parametrize(("stated", "most"), [(True, 1.01), (False, 1.3)])  # a buffer grows by an eighth
def test_ten_thousand_images_are_held_once(stated: bool, most: float) -> None:
    x = np.random.default_rng(0).random((10_000, 28, 28), np.float32)
    body = npy(x)
    chunks = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    headers = {"content-length": str(len(body))} if stated else {}
    tracemalloc.start()
    images = as_images(read_npy(receive_body(chunks, headers, Settings(), read=read_buffer)), (28, 28))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(images, x)
    assert peak < most * x.nbytes


@pytest.mark.parametrize("size", [0, 5, 2**20 - 1, 2**20, 2**20 + 7])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_a_buffer_holds_what_a_body_does(size: int, coding: str | None) -> None:
    body = np.random.default_rng(1).bytes(size)
    sent = gzip.compress(body, 1) if coding else body
    chunks = [sent[start : start + 100_000] for start in range(0, len(sent), 100_000)]
    coded = {"content-encoding": coding} if coding else {}
    for length in ({}, {"content-length": str(len(sent))}):
        found = receive_body(chunks, coded | length, Settings(models="mnist-mlp"), read=read_buffer)
        assert bytes(found) == body
    short = {"content-length": str(len(sent) + 1)}  # no server lets such a body pass
    assert bytes(receive_body(chunks, coded | short, Settings(models="mnist-mlp"), read=read_buffer)) == body


def test_a_buffer_has_the_limits_of_a_body() -> None:
    settings = Settings(models="mnist-mlp", max_body_bytes=2**20 + 5)
    for sent, headers in [
        ([bytes(2**20)] * 2, {}),
        ([b""], {"content-length": str(2**20 + 6)}),
        ([b""], {"content-length": "9" * 5000}),
        ([gzip.compress(bytes(2**21))], {"content-encoding": "gzip", "content-length": str(2**20)}),
    ]:
        with pytest.raises(BodyTooLargeError):
            receive_body(sent, headers, settings, read=read_buffer)


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3))
def test_any_bytes_expand_or_are_an_error(content: bytes, changes: list[tuple[int, int]]) -> None:
    body = bytearray(gzip.compress(content))
    for place, value in changes:
        body[place % len(body)] = value
    for sent in (bytes(body), content):
        with suppress(MalformedError):
            receive_body([sent[:7], sent[7:]], {"content-encoding": "gzip"}, Settings(models="mnist-mlp"))
    with pytest.raises(CodingError):
        receive_body([content], {"content-encoding": "gzip;q=1"}, Settings(models="mnist-mlp"))


def test_a_form_brings_its_files() -> None:
    for files in ([b"a"], [b"", b"\r\n--b"], [bytes(range(256)) * 500, b"-", b"\r\n"]):
        body, content_type = form(*files, boundary=b"bound")
        assert form_files(content_type, body, 9) == files
        assert form_files(content_type, bytearray(body), 9) == files
        for length in range(0, len(body) - 4, max(1, len(body) // 50)):
            with pytest.raises(MalformedError):
                form_files(content_type, body[:length], 9)


def test_a_part_of_another_type_than_text_is_a_file_without_a_name() -> None:
    for type_, file in [("Content-Type: image/png\r\n", True), ("content-type: TEXT/plain\r\n", False), ("", False)]:
        body = f'--b\r\nContent-Disposition: form-data; name="images"\r\n{type_}\r\nabc\r\n--b--\r\n'.encode()
        if file:
            assert form_files("multipart/form-data; boundary=b", body, 9) == [b"abc"]
        else:
            with pytest.raises(
                MalformedError, match="a part without a filename, and without a Content-Type but of text"
            ):
                form_files("multipart/form-data; boundary=b", body, 9)


@given(st.data())
def test_any_bytes_are_a_form_or_an_error(data: st.DataObject) -> None:
    body, content_type = form(b"one", b"two")
    changed = bytearray(data.draw(st.sampled_from([body, body.replace(b"filename", b"nickname")]) | st.binary()))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4)):
        if place < len(changed):
            changed[place] = value
    content_type = data.draw(
        st.sampled_from([content_type, 'multipart/form-data; boundary="b'])
        | st.text(st.characters(max_codepoint=255), max_size=40)
    )
    try:
        files = form_files(content_type, bytes(changed), 9)
    except ReparamError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(file, bytes) for file in files)


@given(st.binary(max_size=200) | st.text('{}[]":,0.1e9\\ux', max_size=100).map(str.encode))
def test_any_bytes_are_an_object_or_an_error(body: bytes) -> None:
    try:
        assert isinstance(load_object(body, 2**23), dict)
    except MalformedError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b'{"latents":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"latents":' + b"[" * 30_000,
        b'{"a":' * 10**6,
        b'{"latents":[' + b"{}," * 60_000 + b"{}]}",
        b"{" + b",".join(b'"%d":0' % i for i in range(15_000)) + b"}",
        b'{"latents": "\xff"}',
        b'\xef\xbb\xbf{"latents": []}',
        '{"latents": []}'.encode("utf-16"),
        b'{"latents": [[1e400]]}',
        b'{"latents": ["\\ud800"], "\\ud800": 1}',
        b"",
        b"null",
    ],
)
def test_hostile_json_is_malformed(roomy: TestClient, body: bytes) -> None:
    assert_problem(post(roomy, "/v1/decode", body, "application/json"), 422, "malformed-request")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10**6 + b"]" * 10**6,
        b'{"latents":[' + b"[]," * 400_000 + b"[]]}",
        b'{"latents":[' + b"0," * 2**21 + b"0]}",
        b'{"latents":[' + (b"[" + b"0," * 9 + b"0],") * 150_000 + b"[]]}",
    ],
)
def test_json_of_too_many_values_is_over_a_limit(roomy: TestClient, body: bytes) -> None:
    problem = assert_problem(post(roomy, "/v1/decode", body, "application/json"), 422, "limit-exceeded")
    assert problem["detail"].startswith(
        "JSON, of 4 bytes a value and 24 a list: expected at most 8388608 (max_json_bytes"
    )


HOSTILE = [
    b"",
    b"{}",
    b'{"images": ["' + base64.b64encode(b"\x89PNG\r\n\x1a\n") + b'"]}',
    b'{"images": ["\\u00e9"]}',
    b'{"pixels": [[NaN]]}',
    b'{"pixels": [[[[[[0]]]]]]}',
    npy(np.full((1, 784), np.nan, np.float32)),
    npy(np.zeros((1, 784), np.float32))[:100],
    save({"images": np.full((1, 784), np.inf, np.float32)}),
    form(b"no picture")[0],
    form()[0],
]
MEDIA = [*IMAGES_IN, "multipart/form-data; boundary=b", "multipart/form-data; boundary=\xe9", "", ";", "a/b"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    st.sampled_from(["encode", "decode", "reconstruct", "interpolate", "score", "sample"]),
    st.sampled_from(HOSTILE) | st.binary(max_size=100),
    st.sampled_from(MEDIA),
    st.sampled_from([None, "gzip", "br"]),
    st.sampled_from(["*/*", "application/json", "application/x-npy", "text/html"]),
)
def test_no_body_is_an_error_of_ours(
    client: TestClient, path: str, body: bytes, media: str, coding: str | None, accept: str
) -> None:
    headers = {"content-type": media.encode("latin-1"), "accept": accept.encode()}
    if coding:
        headers["content-encoding"] = coding.encode()
    answer = client.post(f"/v1/{path}", content=body, headers=headers)
    if answer.status_code != 200:
        document = json.loads(answer.content)
        assert answer.status_code in (406, 413, 415, 422) and document["status"] == answer.status_code
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("media", IMAGE_TYPES)
def test_a_small_file_of_a_large_picture_is_read_too(client: TestClient, media: str) -> None:
    kind = media.removeprefix("image/").upper()
    file = io.BytesIO()
    Image.new("L", (120, 90)).convert("RGB").save(file, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    answer = post(client, "/v1/encode", file.getvalue(), media)
    assert answer.status_code == 200 and np.shape(answer.json()["mean"]) == (1, 50)


def test_many_images_may_be_data_urls(roomy: TestClient, seven: bytes) -> None:
    images = ["data:image/png;base64," + base64.b64encode(seven).decode()] * 300
    answer = roomy.post("/v1/encode", json={"images": images})
    assert answer.status_code == 200 and len(answer.json()["mean"]) == 300
    many = b'{"images": [' + b", ".join(b'{"data:%d": 1}' % i for i in range(9000)) + b"]}"
    assert (
        "many members"
        in assert_problem(post(roomy, "/v1/encode", many, "application/json"), 422, "malformed-request")["detail"]
    )
