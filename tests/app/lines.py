"""The log, as it is written."""

import json
import logging

from app.logs import JsonLines, TextLines


class Lines(logging.Handler):
    """What the log is written, in both forms."""

    def __init__(self) -> None:
        super().__init__()
        self.json: list[dict[str, object]] = []
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = JsonLines().format(record)
        assert "\n" not in line
        self.json.append(json.loads(line))
        self.text.append(TextLines().format(record))
