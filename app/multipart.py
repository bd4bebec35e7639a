"""A form (multipart/form-data): the files that it brings."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import LimitError, MalformedError

FIELD = "images"
_MAX_TEXTS = 8  # a few may stand beside the files by mistake, and are named


def form_files(content_type: str, body: bytes | bytearray, max_files: int) -> list[bytes]:
    """The files of the field `images`, which is the form's only one.

    Args:
        content_type: with its parameters.
    Raises: MalformedError: if it is no such form, or one cut short. LimitError: if the files are too many.
    """
    _, options = parse_options_header(content_type)
    if not options.get(b"boundary"):
        raise MalformedError("body: not multipart/form-data: the Content-Type names no boundary")
    form = _Form(max_files)
    try:
        MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": form.begin,
                "on_header_field": form.header_name,
                "on_header_value": form.header_value,
                "on_headers_finished": form.headers_end,
                "on_part_data": form.data,
                "on_part_end": form.part_end,
                "on_end": form.end,
            },
        ).write(body)  # type: ignore[arg-type]  # a bytearray does what bytes do there
    except FormParserError as error:
        raise MalformedError(f"body: not multipart/form-data: {error}") from error
    if not form.ended:
        raise MalformedError("body: expected a whole form, found it cut short")
    if form.names != {FIELD}:
        found = ", ".join(sorted(form.names))[:200] or "none"
        raise MalformedError(f"body: expected a form with the field {FIELD} alone, found {found}")
    if form.texts:
        raise MalformedError(
            f"{FIELD}: expected files (with curl: -F {FIELD}=@digit.png), found text: a part without a filename, and "
            "without a Content-Type but of text"
        )
    return form.files


class _Form:
    """What the parser has met so far."""

    def __init__(self, max_files: int) -> None:
        self.files: list[bytes] = []
        self.names: set[str] = set()
        self.texts = 0
        self.ended = False
        self._max_files = max_files
        self._header = self._disposition = self._type = b""
        self._parts: list[bytes] = []

    def begin(self) -> None:
        self._header = self._disposition = self._type = b""
        self._parts = []

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = bytes(data[start:end]).lower()

    def header_value(self, data: bytes, start: int, end: int) -> None:
        if self._header == b"content-disposition":
            self._disposition = bytes(data[start:end])
        elif self._header == b"content-type":
            self._type = bytes(data[start:end]).strip().lower()

    def headers_end(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        if b"name" not in options:
            raise MalformedError("body: not multipart/form-data: a part has no name")
        self.names.add(options[b"name"].decode(errors="replace"))
        # A file may have no name (RFC 7578, sections 4.2 and 4.4).
        self._is_file = b"filename" in options or not (self._type or b"text/plain").startswith(b"text/")
        self.texts += not self._is_file
        if self.texts > _MAX_TEXTS:
            raise MalformedError(f"body: expected a form with the field {FIELD} alone, found many that are no files")
        if len(self.files) + self._is_file > self._max_files:
            raise LimitError(FIELD, "max_images", self._max_files, "more")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._parts.append(bytes(memoryview(data)[start:end]))

    def part_end(self) -> None:
        if self._is_file:
            self.files.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))

    def end(self) -> None:
        self.ended = True
