"""JSON in the body of a request, read without stopping the process for what nobody needs."""

from typing import Any

import orjson

from app.engine import Model
from app.errors import MalformedError
from app.settings import Settings
from app.streams import Body

# What is no larger is read on the event loop: JSON of a dozen images takes a millisecond.
INLINE_BYTES = 64 * 2**10
_MAX_MEMBERS = 64  # of the objects of large JSON together, of which a call needs a few
_FREE_LISTS = 100_000  # fewer than these take too little time to be worth a refusal
_OTHER_LISTS = 100  # around the arrays: of inputs, of outputs, and of their shapes


def most_lists(settings: Settings, model: Model) -> int:
    """How many lists the arrays that a call may bring are made of: images (N, 1, H, W), or latents (N, Z)."""
    rows, _ = model.image_shape
    return _OTHER_LISTS + max(_FREE_LISTS, settings.max_latents, settings.max_images * (2 + rows))


def load_object(body: Body, max_lists: int = 1, length: int | None = None) -> dict[str, Any]:
    """A JSON object.

    Args:
        max_lists: how many lists it may hold. Making millions of empty ones would stop the whole process for seconds.
        length: of the object, where the body goes on after it.
    Raises: MalformedError.
    """
    length = len(body) if length is None else length
    if length > INLINE_BYTES:
        if body.count(b"[", 0, length) > max_lists:
            raise MalformedError(f"body: expected at most {max_lists} lists, which all that is allowed has, found more")
        if body.count(b":", 0, length) > _MAX_MEMBERS or body.count(b"{", 0, length) > _MAX_MEMBERS:
            raise MalformedError("body: expected a JSON object of lists, found many members")
    try:
        document = orjson.loads(memoryview(body)[:length])
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"body: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedError(f"body: expected a JSON object, found {kind_of(document)}")
    return document


def kind_of(value: object) -> str:
    """What a value of JSON is, in words."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
