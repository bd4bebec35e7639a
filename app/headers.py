"""The headers of a request, as they were sent: a look at the list costs less than to make a mapping of it."""

from starlette.requests import Request


def header(request: Request, name: bytes) -> str:
    """The value of a header, which is named in lower case; empty if the request has none, the first if several."""
    for found, value in request.scope["headers"]:
        if found == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def header_values(request: Request, name: bytes) -> list[str]:
    """The values of a header that may come several times."""
    return [value.decode("latin-1") for found, value in request.scope["headers"] if found == name]
