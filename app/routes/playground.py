"""`/`: the playground, a page that calls the service, and the files that it loads. They are open; its calls are not."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

PAGE = "index.html"
# What the folder may give away, and as what: a file of another kind is not there.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".gz": "application/gzip",
}
# Stricter than the other pages': neither script nor style stands in the page itself. `data:` and `blob:` are pictures
# that the page makes of answers.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class File(NamedTuple):
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str


@router.get("/")
async def page(request: Request) -> Response:
    """The page."""
    return _answer(request, PAGE)


@router.get("/web/{path:path}")
async def file(request: Request, path: str) -> Response:
    """A file of the page. Raises: HTTPException: if there is none of that name."""
    return _answer(request, path)


@cache
def web_files() -> dict[str, File]:
    """Every file of the page, by its path below `app/web`. Other paths lead nowhere, whatever they are made of."""
    return dict(_walk(files("app").joinpath("web")))


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, File]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif media_type := TYPES.get("." + entry.name.rpartition(".")[2]):
            content = entry.read_bytes()
            found.append((prefix + entry.name, File(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')))
    return found


def _answer(request: Request, path: str) -> Response:
    found = web_files().get(path)
    if found is None:
        raise HTTPException(404)
    # Kept by the browser, and asked about each time: after an upgrade no file is of another version than its page.
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    known = request.headers.get("if-none-match", "")
    if {found.etag, "*"} & {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
